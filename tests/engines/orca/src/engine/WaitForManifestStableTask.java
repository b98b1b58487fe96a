package engine;

import com.netflix.spinnaker.orca.api.pipeline.OverridableTimeoutRetryableTask;
import com.netflix.spinnaker.orca.api.pipeline.TaskResult;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.springframework.stereotype.Component;

/** Asks every 5 s, at most 30 min, whether what was deployed is stable. A manifest that cannot be read is asked for again. */
@Component
class WaitForManifestStableTask implements OverridableTimeoutRetryableTask {
  private final Clouddriver clouddriver;

  WaitForManifestStableTask(Clouddriver clouddriver) {
    this.clouddriver = clouddriver;
  }

  @Override
  public long getBackoffPeriod() {
    return 5_000;
  }

  @Override
  public long getTimeout() {
    return 1_800_000;
  }

  @Override
  public long getDynamicTimeout(StageExecution stage) {
    String minutes = KubernetesTasks.text(stage, "stableManifestTimeoutMinutes");
    return minutes == null ? getTimeout() : Long.parseLong(minutes) * 60_000;
  }

  @Override
  @SuppressWarnings("unchecked")
  public TaskResult execute(StageExecution stage) {
    var context = stage.getContext();
    var stable = new ArrayList<>((List<Map<String, String>>) context.getOrDefault("stableManifests", List.of()));
    var failed = new ArrayList<>((List<Map<String, String>>) context.getOrDefault("failedManifests", List.of()));
    var messages = new ArrayList<>((List<String>) context.getOrDefault("messages", List.of()));
    var errors = new ArrayList<String>();
    boolean waiting = false;
    for (var entry : deployed(stage).entrySet()) {
      for (String name : entry.getValue()) {
        var manifest = Map.of("manifestName", name, "location", entry.getKey());
        if (stable.contains(manifest) || failed.contains(manifest)) {
          continue;
        }
        Map<String, Object> status;
        try {
          var found = clouddriver.manifest(KubernetesTasks.account(stage), entry.getKey(), name);
          status = (Map<String, Object>) found.get("status");
        } catch (Clouddriver.Refused refused) {
          if (refused.code == 501) {
            throw refused;
          }
          return TaskResult.RUNNING;
        } catch (IOException unreadable) {
          return TaskResult.RUNNING;
        }
        String what = String.format("'%s' in '%s' for account %s: ", name, entry.getKey(), KubernetesTasks.account(stage));
        if (is(status, "failed")) {
          failed.add(manifest);
          errors.add(what + ((Map<String, Object>) status.get("failed")).get("message"));
        } else if (is(status, "stable")) {
          stable.add(manifest);
        } else {
          waiting = true;
          messages.add(what + "waiting for manifest to stabilize");
        }
      }
    }
    messages.addAll(errors);
    var result = new HashMap<String, Object>(Map.of("messages", messages, "stableManifests", stable, "failedManifests", failed));
    if (!errors.isEmpty()) {
      result.put("exception", Map.of("details", Map.of("errors", errors)));
    }
    ExecutionStatus status =
        waiting ? ExecutionStatus.RUNNING : failed.isEmpty() ? ExecutionStatus.SUCCEEDED : ExecutionStatus.TERMINAL;
    return TaskResult.builder(status).context(result).build();
  }

  @SuppressWarnings("unchecked")
  private static Map<String, List<String>> deployed(StageExecution stage) {
    var names = (Map<String, List<String>>) stage.getContext().get("outputs.manifestNamesByNamespace");
    if (names != null) {
      return names;
    }
    return Map.of(KubernetesTasks.text(stage, "location"), List.of(KubernetesTasks.text(stage, "manifestName")));
  }

  @SuppressWarnings("unchecked")
  private static boolean is(Map<String, Object> status, String what) {
    return Boolean.TRUE.equals(((Map<String, Object>) status.get(what)).get("state"));
  }
}
