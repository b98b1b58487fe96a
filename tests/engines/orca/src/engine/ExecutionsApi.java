package engine;

import com.netflix.spinnaker.kork.jedis.RedisClientSelector;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionType;
import com.netflix.spinnaker.orca.api.pipeline.models.PipelineExecution;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import com.netflix.spinnaker.orca.pipeline.CompoundExecutionOperator;
import com.netflix.spinnaker.orca.pipeline.ExecutionLauncher;
import com.netflix.spinnaker.orca.pipeline.persistence.ExecutionNotFoundException;
import com.netflix.spinnaker.orca.pipeline.persistence.ExecutionRepository;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PatchMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.PutMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import redis.clients.jedis.commands.JedisCommands;

/** The part of Orca's REST that Gate calls; orca-web is not published. */
@RestController
class ExecutionsApi {
  private final ExecutionLauncher launcher;
  private final ExecutionRepository repository;
  private final CompoundExecutionOperator operator;
  private final RedisClientSelector redis;

  ExecutionsApi(
      ExecutionLauncher launcher, ExecutionRepository repository, CompoundExecutionOperator operator, RedisClientSelector redis) {
    this.launcher = launcher;
    this.repository = repository;
    this.operator = operator;
    this.redis = redis;
  }

  @PostMapping("/orchestrate")
  Map<String, String> start(@RequestBody Map<String, Object> pipeline) {
    return Map.of("ref", "/pipelines/" + launcher.start(ExecutionType.PIPELINE, pipeline).getId());
  }

  @GetMapping("/pipelines/{id}")
  PipelineExecution get(@PathVariable("id") String id) {
    return repository.retrieve(ExecutionType.PIPELINE, id);
  }

  /** The repository's own list takes an execution that is being stored out of the index, for good: the id is there before the rest. */
  @GetMapping("/applications/{application}/pipelines")
  List<PipelineExecution> list(@PathVariable("application") String application) {
    Function<JedisCommands, Set<String>> ids = commands -> commands.smembers("pipeline:app:" + application);
    var found = new ArrayList<PipelineExecution>();
    for (var id : redis.primary("default").withCommandsClient(ids)) {
      try {
        found.add(repository.retrieve(ExecutionType.PIPELINE, id));
      } catch (ExecutionNotFoundException stillBeingStored) {
        continue;
      }
    }
    return found;
  }

  @PutMapping("/pipelines/{id}/cancel")
  void cancel(@PathVariable("id") String id, @RequestParam("user") String user, @RequestParam("reason") String reason) {
    operator.cancel(ExecutionType.PIPELINE, id, user, reason);
  }

  @PatchMapping("/pipelines/{id}/stages/{stage}")
  PipelineExecution patch(
      @PathVariable("id") String id,
      @PathVariable("stage") String stage,
      @RequestParam("user") String user,
      @RequestBody Map<String, Object> context) {
    return operator.updateStage(
        ExecutionType.PIPELINE,
        id,
        stage,
        it -> {
          var modified = new StageExecution.LastModifiedDetails();
          modified.setUser(user);
          modified.setLastModifiedTime(System.currentTimeMillis());
          modified.setAllowedAccounts(List.of());
          it.setLastModified(modified);
          it.getContext().put("lastModifiedBy", user);
          it.getContext().putAll(context);
        });
  }

  @PutMapping("/pipelines/{id}/stages/{stage}/restart")
  PipelineExecution restart(@PathVariable("id") String id, @PathVariable("stage") String stage) {
    return operator.restartStage(id, stage);
  }
}
