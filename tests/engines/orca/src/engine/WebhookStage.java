package engine;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.netflix.spinnaker.kork.exceptions.UserException;
import com.netflix.spinnaker.orca.api.pipeline.graph.StageDefinitionBuilder;
import com.netflix.spinnaker.orca.api.pipeline.graph.StageGraphBuilder;
import com.netflix.spinnaker.orca.api.pipeline.graph.TaskNode;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import com.netflix.spinnaker.orca.pipeline.tasks.WaitTask;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.springframework.stereotype.Component;

/** Calls an address and, if asked, polls a status address until it says how it ended. */
@Component
class WebhookStage implements StageDefinitionBuilder {
  @JsonIgnoreProperties(ignoreUnknown = true)
  static class Settings {
    public String url;
    public String method = "POST";
    public Object payload;
    public Map<String, Object> customHeaders;
    public List<Integer> failFastStatusCodes = List.of(504);
    public List<Integer> webhookRetryStatusCodes = List.of();
    public List<Integer> retryStatusCodes = List.of();
    public Map<Integer, Retry> retries = Map.of();
    public boolean waitForCompletion;
    public boolean monitorOnly;
    public int waitBeforeMonitor;
    public String statusUrlResolution;
    public String statusUrlJsonPath;
    public String statusEndpoint;
    public String statusJsonPath;
    public String progressJsonPath;
    public String successStatuses = "";
    public String canceledStatuses = "";
    public String terminalStatuses = "";
    public String cancelEndpoint;
    public String cancelMethod = "POST";
    public Object cancelPayload;
    public Map<String, Object> webhook = new HashMap<>();
  }

  @JsonIgnoreProperties(ignoreUnknown = true)
  static class Retry {
    public int maxAttempts;
  }

  private final MonitorWebhookTask monitor;

  WebhookStage(MonitorWebhookTask monitor) {
    this.monitor = monitor;
  }

  @Override
  public void taskGraph(StageExecution stage, TaskNode.Builder builder) {
    Settings settings = stage.mapTo(Settings.class);
    if (settings.monitorOnly && !settings.waitForCompletion) {
      throw new UserException("Can't specify monitorOnly = true and waitForCompletion = false at the same time");
    }
    if (!settings.monitorOnly) {
      builder.withTask("createWebhook", CreateWebhookTask.class);
    }
    if (settings.waitForCompletion) {
      if (settings.waitBeforeMonitor > 0) {
        stage.getContext().putIfAbsent("waitTime", settings.waitBeforeMonitor);
        builder.withTask("waitBeforeMonitorWebhook", WaitTask.class);
      }
      builder.withTask("monitorWebhook", MonitorWebhookTask.class);
    }
  }

  @Override
  public void onFailureStages(StageExecution stage, StageGraphBuilder graph) {
    monitor.onCancel(stage);
  }
}
