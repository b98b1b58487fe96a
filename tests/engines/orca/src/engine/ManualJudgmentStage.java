package engine;

import com.netflix.spinnaker.orca.api.pipeline.OverridableTimeoutRetryableTask;
import com.netflix.spinnaker.orca.api.pipeline.TaskResult;
import com.netflix.spinnaker.orca.api.pipeline.graph.StageDefinitionBuilder;
import com.netflix.spinnaker.orca.api.pipeline.graph.TaskNode;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import org.springframework.stereotype.Component;

/** Waits for a PATCH of the stage with judgmentStatus continue or stop. Who may judge is Fiat's matter, which is not here. */
@Component
class ManualJudgmentStage implements StageDefinitionBuilder {
  @Override
  public void taskGraph(StageExecution stage, TaskNode.Builder builder) {
    builder.withTask("waitForJudgment", WaitForJudgmentTask.class);
  }

  @Override
  public void prepareStageForRestart(StageExecution stage) {
    stage.getContext().remove("judgmentStatus");
    stage.getContext().remove("lastModifiedBy");
  }

  /** Looks every 15 s, at most three days; a PATCH makes it look at once. */
  @Component
  static class WaitForJudgmentTask implements OverridableTimeoutRetryableTask {
    @Override
    public long getBackoffPeriod() {
      return 15_000;
    }

    @Override
    public long getTimeout() {
      return 259_200_000;
    }

    @Override
    public TaskResult execute(StageExecution stage) {
      switch (String.valueOf(stage.getContext().get("judgmentStatus")).toLowerCase()) {
        case "continue":
          return TaskResult.SUCCEEDED;
        case "stop":
          return TaskResult.ofStatus(ExecutionStatus.TERMINAL);
        default:
          return TaskResult.RUNNING;
      }
    }
  }
}
