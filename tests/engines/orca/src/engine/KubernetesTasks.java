package engine;

import com.netflix.spinnaker.orca.api.pipeline.RetryableTask;
import com.netflix.spinnaker.orca.api.pipeline.Task;
import com.netflix.spinnaker.orca.api.pipeline.TaskResult;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.springframework.stereotype.Component;

/** The tasks that start Clouddriver operations, follow them and keep what they made. */
final class KubernetesTasks {
  private static final Map<String, String> OPERATIONS =
      Map.of(
          "deployManifest", "deployManifest",
          "deleteManifest", "deleteManifest",
          "scaleManifest", "scaleManifest",
          "patchManifest", "patchManifest",
          "undoRolloutManifest", "undoRolloutManifest",
          "runJobManifest", "runJob",
          "runJob", "runJob");

  private KubernetesTasks() {}

  static String account(StageExecution stage) {
    Object account = stage.getContext().getOrDefault("account", stage.getContext().get("credentials"));
    if (account == null) {
      throw new IllegalArgumentException("the stage names no account");
    }
    return account.toString();
  }

  static String text(StageExecution stage, String key) {
    Object value = stage.getContext().get(key);
    return value == null ? null : value.toString();
  }

  /** Only manifests that stand in the stage itself; artifacts would need Clouddriver's artifact accounts. */
  @Component
  static class ResolveSourceTask implements Task {
    @Override
    public TaskResult execute(StageExecution stage) {
      if (!"text".equals(text(stage, "source"))) {
        throw new IllegalArgumentException("This stand-in deploys source 'text' only, not '" + text(stage, "source") + "'");
      }
      return TaskResult.SUCCEEDED;
    }
  }

  @Component
  static class SubmitTask implements Task {
    private final Clouddriver clouddriver;

    SubmitTask(Clouddriver clouddriver) {
      this.clouddriver = clouddriver;
    }

    @Override
    public TaskResult execute(StageExecution stage) {
      return submit(clouddriver, stage, OPERATIONS.get(stage.getType()));
    }
  }

  /** Clouddriver looks for versions beyond max-version-history; the stand-in versions nothing, so there is never one. */
  @Component
  static class CleanupArtifactsTask implements Task {
    private final Clouddriver clouddriver;

    CleanupArtifactsTask(Clouddriver clouddriver) {
      this.clouddriver = clouddriver;
    }

    @Override
    public TaskResult execute(StageExecution stage) {
      return submit(clouddriver, stage, "cleanupArtifacts");
    }
  }

  private static TaskResult submit(Clouddriver clouddriver, StageExecution stage, String operation) {
    var description = new HashMap<>(stage.getContext());
    description.keySet().removeIf(key -> key.startsWith("kato.") || key.startsWith("outputs."));
    description.put("account", account(stage));
    description.put("application", stage.getExecution().getApplication());
    try {
      String id = clouddriver.operate(operation, description, stage.getId() + "-" + operation);
      return TaskResult.builder(ExecutionStatus.SUCCEEDED)
          .context(Map.of("kato.last.task.id", Map.of("id", id), "kato.result.expected", false))
          .build();
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /** Asks at once, then every 5 s, at most an hour. */
  @Component
  static class MonitorTask implements RetryableTask {
    private final Clouddriver clouddriver;

    MonitorTask(Clouddriver clouddriver) {
      this.clouddriver = clouddriver;
    }

    @Override
    public long getBackoffPeriod() {
      return 5_000;
    }

    @Override
    public long getTimeout() {
      return 3_600_000;
    }

    @Override
    @SuppressWarnings("unchecked")
    public TaskResult execute(StageExecution stage) {
      var last = (Map<String, Object>) stage.getContext().get("kato.last.task.id");
      Map<String, Object> task;
      try {
        task = clouddriver.task((String) last.get("id"));
      } catch (IOException failure) {
        throw new UncheckedIOException(failure);
      }
      var state = (Map<String, Object>) task.get("status");
      var tasks = new ArrayList<>((List<Map<String, Object>>) stage.getContext().getOrDefault("kato.tasks", List.of()));
      tasks.removeIf(it -> task.get("id").equals(it.get("id")));
      var results = (List<Map<String, Object>>) task.get("resultObjects");
      results.stream().filter(it -> "EXCEPTION".equals(it.get("type"))).findFirst().ifPresent(it -> task.put("exception", it));
      tasks.add(task);
      var context = new HashMap<String, Object>(Map.of("kato.tasks", tasks));
      ExecutionStatus status = ExecutionStatus.RUNNING;
      if (Boolean.TRUE.equals(state.get("failed"))) {
        status = ExecutionStatus.TERMINAL;
      } else if (Boolean.TRUE.equals(state.get("completed"))) {
        status = ExecutionStatus.SUCCEEDED;
        results.stream()
            .filter(it -> it.containsKey("deployedNamesByLocation"))
            .findFirst()
            .ifPresent(it -> context.put("deploy.jobs", it.get("deployedNamesByLocation")));
      }
      context.put("kato.task.lastStatus", status.toString());
      return TaskResult.builder(status).context(context).build();
    }
  }

  @Component
  static class PromoteOutputsTask implements Task {
    @Override
    @SuppressWarnings("unchecked")
    public TaskResult execute(StageExecution stage) {
      var outputs = new HashMap<String, Object>();
      for (var task : (List<Map<String, Object>>) stage.getContext().getOrDefault("kato.tasks", List.of())) {
        for (var result : (List<Map<String, Object>>) task.getOrDefault("resultObjects", List.of())) {
          for (String key : List.of("manifests", "manifestNamesByNamespace", "boundArtifacts", "createdArtifacts")) {
            if (result.containsKey(key)) {
              outputs.putIfAbsent("outputs." + key, result.get(key));
            }
          }
          if (result.containsKey("createdArtifacts")) {
            outputs.putIfAbsent("artifacts", result.get("createdArtifacts"));
          }
        }
      }
      return TaskResult.builder(ExecutionStatus.SUCCEEDED).context(outputs).outputs(outputs).build();
    }
  }

  @Component
  static class GetManifestTask implements RetryableTask {
    private final Clouddriver clouddriver;

    GetManifestTask(Clouddriver clouddriver) {
      this.clouddriver = clouddriver;
    }

    @Override
    public long getBackoffPeriod() {
      return 5_000;
    }

    @Override
    public long getTimeout() {
      return 300_000;
    }

    @Override
    public TaskResult execute(StageExecution stage) {
      try {
        var found = clouddriver.manifest(account(stage), text(stage, "location"), text(stage, "manifestName"));
        var outputs = Map.of("manifest", found.get("manifest"), "artifacts", found.get("artifacts"));
        return TaskResult.builder(ExecutionStatus.SUCCEEDED).context(outputs).outputs(outputs).build();
      } catch (IOException failure) {
        throw new UncheckedIOException(failure);
      }
    }
  }
}
