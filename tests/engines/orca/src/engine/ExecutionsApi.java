package engine;

import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionType;
import com.netflix.spinnaker.orca.api.pipeline.models.PipelineExecution;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import com.netflix.spinnaker.orca.pipeline.CompoundExecutionOperator;
import com.netflix.spinnaker.orca.pipeline.ExecutionLauncher;
import com.netflix.spinnaker.orca.pipeline.persistence.ExecutionRepository;
import java.util.List;
import java.util.Map;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PatchMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.PutMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

/** The part of Orca's REST that Gate and Echo call; orca-web is not published. */
@RestController
class ExecutionsApi {
  private final ExecutionLauncher launcher;
  private final ExecutionRepository repository;
  private final CompoundExecutionOperator operator;

  ExecutionsApi(ExecutionLauncher launcher, ExecutionRepository repository, CompoundExecutionOperator operator) {
    this.launcher = launcher;
    this.repository = repository;
    this.operator = operator;
  }

  @PostMapping("/orchestrate")
  Map<String, String> start(@RequestBody Map<String, Object> pipeline) {
    return Map.of("ref", "/pipelines/" + launcher.start(ExecutionType.PIPELINE, pipeline).getId());
  }

  @GetMapping("/pipelines/{id}")
  PipelineExecution get(@PathVariable("id") String id) {
    return repository.retrieve(ExecutionType.PIPELINE, id);
  }

  @GetMapping("/applications/{application}/pipelines")
  List<PipelineExecution> list(@PathVariable("application") String application) {
    return repository.retrievePipelinesForApplication(application).toList().toBlocking().single();
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
