package engine;

import com.netflix.spinnaker.orca.api.pipeline.graph.StageDefinitionBuilder;
import com.netflix.spinnaker.orca.api.pipeline.graph.TaskNode;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import com.netflix.spinnaker.orca.pipeline.tasks.artifacts.BindProducedArtifactsTask;
import java.util.Collection;
import java.util.List;
import org.springframework.stereotype.Component;

/** The task graphs of the Kubernetes stages, as orca-clouddriver orders them. */
final class KubernetesStages {
  private KubernetesStages() {}

  @Component
  static class DeployManifestStage implements StageDefinitionBuilder {
    @Override
    public void taskGraph(StageExecution stage, TaskNode.Builder builder) {
      builder
          .withTask("resolveDeploySourceManifest", KubernetesTasks.ResolveSourceTask.class)
          .withTask("deployManifest", KubernetesTasks.SubmitTask.class)
          .withTask("monitorDeploy", KubernetesTasks.MonitorTask.class)
          .withTask("promoteOutputs", KubernetesTasks.PromoteOutputsTask.class)
          .withTask("waitForManifestToStabilize", WaitForManifestStableTask.class)
          .withTask("cleanupArtifacts", KubernetesTasks.CleanupArtifactsTask.class)
          .withTask("monitorCleanup", KubernetesTasks.MonitorTask.class)
          .withTask("promoteOutputs", KubernetesTasks.PromoteOutputsTask.class)
          .withTask("bindProducedArtifacts", BindProducedArtifactsTask.class);
    }
  }

  @Component
  static class PatchManifestStage implements StageDefinitionBuilder {
    @Override
    public void taskGraph(StageExecution stage, TaskNode.Builder builder) {
      builder
          .withTask("patchManifest", KubernetesTasks.SubmitTask.class)
          .withTask("monitorPatch", KubernetesTasks.MonitorTask.class)
          .withTask("promoteOutputs", KubernetesTasks.PromoteOutputsTask.class)
          .withTask("waitForManifestToStabilize", WaitForManifestStableTask.class)
          .withTask("bindProducedArtifacts", BindProducedArtifactsTask.class);
    }
  }

  @Component
  static class ScaleManifestStage implements StageDefinitionBuilder {
    @Override
    public void taskGraph(StageExecution stage, TaskNode.Builder builder) {
      builder
          .withTask("scaleManifest", KubernetesTasks.SubmitTask.class)
          .withTask("monitorScale", KubernetesTasks.MonitorTask.class)
          .withTask("waitForManifestToStabilize", WaitForManifestStableTask.class);
    }
  }

  @Component
  static class UndoRolloutManifestStage implements StageDefinitionBuilder {
    @Override
    public void taskGraph(StageExecution stage, TaskNode.Builder builder) {
      builder
          .withTask("undoRolloutManifest", KubernetesTasks.SubmitTask.class)
          .withTask("monitorUndoRollout", KubernetesTasks.MonitorTask.class)
          .withTask("waitForManifestToStabilize", WaitForManifestStableTask.class);
    }
  }

  /** Waits for nothing after the deletion. */
  @Component
  static class DeleteManifestStage implements StageDefinitionBuilder {
    @Override
    public void taskGraph(StageExecution stage, TaskNode.Builder builder) {
      builder
          .withTask("deleteManifest", KubernetesTasks.SubmitTask.class)
          .withTask("monitorDelete", KubernetesTasks.MonitorTask.class)
          .withTask("promoteOutputs", KubernetesTasks.PromoteOutputsTask.class);
    }
  }

  @Component
  static class RunJobManifestStage implements StageDefinitionBuilder {
    @Override
    public void taskGraph(StageExecution stage, TaskNode.Builder builder) {
      builder
          .withTask("runJob", KubernetesTasks.SubmitTask.class)
          .withTask("monitorDeploy", KubernetesTasks.MonitorTask.class)
          .withTask("promoteOutputs", KubernetesTasks.PromoteOutputsTask.class);
      if (!"false".equals(String.valueOf(stage.getContext().get("waitForCompletion")))) {
        builder.withTask("waitOnJobCompletion", WaitOnJobTask.class);
      }
      builder.withTask("bindProducedArtifacts", BindProducedArtifactsTask.class);
    }

    @Override
    public Collection<String> aliases() {
      return List.of("runJob");
    }
  }

  @Component
  static class FindArtifactsFromResourceStage implements StageDefinitionBuilder {
    @Override
    public void taskGraph(StageExecution stage, TaskNode.Builder builder) {
      builder
          .withTask("getManifest", KubernetesTasks.GetManifestTask.class)
          .withTask("bindProducedArtifacts", BindProducedArtifactsTask.class);
    }
  }
}
