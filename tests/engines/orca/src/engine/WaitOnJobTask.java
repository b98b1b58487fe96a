package engine;

import com.netflix.spinnaker.orca.api.pipeline.OverridableTimeoutRetryableTask;
import com.netflix.spinnaker.orca.api.pipeline.TaskResult;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.springframework.stereotype.Component;

/** Asks every 10 s, at most two hours, how a Job ended. */
@Component
class WaitOnJobTask implements OverridableTimeoutRetryableTask {
  private final Clouddriver clouddriver;

  WaitOnJobTask(Clouddriver clouddriver) {
    this.clouddriver = clouddriver;
  }

  @Override
  public long getBackoffPeriod() {
    return 10_000;
  }

  @Override
  public long getTimeout() {
    return 7_200_000;
  }

  @Override
  @SuppressWarnings("unchecked")
  public TaskResult execute(StageExecution stage) {
    var jobs = (Map<String, List<String>>) stage.getContext().get("deploy.jobs");
    if (jobs == null || jobs.size() != 1) {
      throw new IllegalStateException("No jobs in stage context.");
    }
    var entry = jobs.entrySet().iterator().next();
    Map<String, Object> job;
    try {
      String application = stage.getExecution().getApplication();
      job = clouddriver.job(application, KubernetesTasks.account(stage), entry.getKey(), entry.getValue().get(0));
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
    var outputs = new HashMap<String, Object>();
    outputs.put("jobStatus", job);
    outputs.put("completionDetails", job.get("completionDetails"));
    if ("Failed".equals(job.get("jobState"))) {
      stage.getContext().putAll(outputs);
      throw new IllegalStateException(
          "Job: '" + job.get("name") + "' failed. Reason: " + job.get("reason") + ". Details: " + job.get("message") + ". "
              + job.getOrDefault("failureDetails", ""));
    }
    ExecutionStatus status = "Succeeded".equals(job.get("jobState")) ? ExecutionStatus.SUCCEEDED : ExecutionStatus.RUNNING;
    return TaskResult.builder(status).context(outputs).outputs(outputs).build();
  }
}
