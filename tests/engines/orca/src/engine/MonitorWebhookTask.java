package engine;

import com.jayway.jsonpath.JsonPath;
import com.jayway.jsonpath.PathNotFoundException;
import com.netflix.spinnaker.orca.api.pipeline.OverridableTimeoutRetryableTask;
import com.netflix.spinnaker.orca.api.pipeline.TaskResult;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.stereotype.Component;

/**
 * Polls a webhook's status: every second for the first minute, then every 15 s, at most an hour.
 *
 * <p>5xx and 429 are asked again without end, any other 4xx and a refused connection end the stage at once, a name that does not resolve
 * and an answer that does not come are asked again.
 */
@Component
class MonitorWebhookTask implements OverridableTimeoutRetryableTask {
  private static final Logger log = LoggerFactory.getLogger(MonitorWebhookTask.class);

  private final WebhookCaller caller;

  MonitorWebhookTask(WebhookCaller caller) {
    this.caller = caller;
  }

  @Override
  public long getBackoffPeriod() {
    return 1_000;
  }

  @Override
  public long getDynamicBackoffPeriod(StageExecution stage, Duration running) {
    return running.toMillis() > 60_000 ? 15_000 : getBackoffPeriod();
  }

  @Override
  public long getTimeout() {
    return 3_600_000;
  }

  @Override
  @SuppressWarnings("unchecked")
  public TaskResult execute(StageExecution stage) {
    var settings = stage.mapTo(WebhookStage.Settings.class);
    String url = settings.statusEndpoint == null ? settings.url : settings.statusEndpoint.trim();
    if (url == null || url.isEmpty() || (settings.statusEndpoint == null && !settings.monitorOnly)) {
      throw new IllegalStateException("Missing required parameter: statusEndpoint = " + settings.statusEndpoint);
    }
    var webhook = new HashMap<>(settings.webhook);
    var before = (Map<String, Object>) webhook.getOrDefault("monitor", Map.of());
    var past = new ArrayList<>((List<Integer>) before.getOrDefault("pastStatusCodes", List.of()));
    var monitor = new HashMap<String, Object>();
    webhook.put("monitor", monitor);
    if (!past.isEmpty()) {
      monitor.put("pastStatusCodes", past);
    }
    WebhookCaller.Answer answer;
    try {
      answer = caller.call("GET", url, settings.customHeaders, null);
    } catch (Exception failure) {
      if (CreateWebhookTask.isA(failure, UnknownHostException.class) || CreateWebhookTask.isA(failure, SocketTimeoutException.class)) {
        return result(ExecutionStatus.RUNNING, webhook);
      }
      monitor.put("error", "an exception occurred in webhook monitor to " + url + ": " + failure);
      return result(ExecutionStatus.TERMINAL, webhook);
    }
    if (answer.code >= 400) {
      if (isAskedAgain(answer.code, settings, past)) {
        past.add(answer.code);
        monitor.put("pastStatusCodes", past);
        return result(ExecutionStatus.RUNNING, webhook);
      }
      monitor.put("error", "an exception occurred in webhook monitor to " + url + ": " + answer.code);
      monitor.put("headers", answer.headers);
      return result(ExecutionStatus.TERMINAL, webhook);
    }
    monitor.put("statusCode", answer.code);
    monitor.put("statusCodeValue", answer.code);
    monitor.put("headers", answer.headers);
    if (answer.body != null) {
      monitor.put("body", answer.body);
    }
    return result(read(answer.body, settings, monitor), webhook);
  }

  @Override
  public void onCancel(StageExecution stage) {
    var settings = stage.mapTo(WebhookStage.Settings.class);
    if (settings.cancelEndpoint == null || settings.cancelEndpoint.isEmpty()) {
      return;
    }
    try {
      caller.call(settings.cancelMethod.toUpperCase(), settings.cancelEndpoint, settings.customHeaders, settings.cancelPayload);
    } catch (Exception failure) {
      log.warn("Failed to cancel webhook {}", settings.cancelEndpoint, failure);
    }
  }

  private static ExecutionStatus read(Object body, WebhookStage.Settings settings, Map<String, Object> monitor) {
    if (settings.statusJsonPath == null || settings.statusJsonPath.isEmpty()) {
      return ExecutionStatus.SUCCEEDED;
    }
    Object status;
    try {
      status = JsonPath.read(body, settings.statusJsonPath);
    } catch (PathNotFoundException missing) {
      monitor.put("error", "Unable to parse status: JSON property '" + settings.statusJsonPath + "' not found in response body");
      return ExecutionStatus.TERMINAL;
    }
    if (!(status instanceof String || status instanceof Number || status instanceof Boolean)) {
      monitor.put("error", "The json path '" + settings.statusJsonPath + "' did not resolve to a single value");
      return ExecutionStatus.TERMINAL;
    }
    if (settings.progressJsonPath != null && !settings.progressJsonPath.isEmpty()) {
      Object progress;
      try {
        progress = JsonPath.read(body, settings.progressJsonPath);
      } catch (PathNotFoundException missing) {
        progress = null;
      }
      if (!(progress instanceof String)) {
        monitor.put("error", "The json path '" + settings.progressJsonPath + "' did not resolve to a String value");
        return ExecutionStatus.TERMINAL;
      }
      monitor.put("progressMessage", progress);
    }
    if (status instanceof Number) {
      monitor.put("percentComplete", status);
      return status.equals(100) ? ExecutionStatus.SUCCEEDED : ExecutionStatus.RUNNING;
    }
    if (listed(settings.terminalStatuses, status)) {
      return ExecutionStatus.TERMINAL;
    }
    if (listed(settings.canceledStatuses, status)) {
      return ExecutionStatus.CANCELED;
    }
    return listed(settings.successStatuses, status) ? ExecutionStatus.SUCCEEDED : ExecutionStatus.RUNNING;
  }

  private static boolean listed(String statuses, Object status) {
    return statuses != null && Arrays.stream(statuses.split(",")).map(String::trim).anyMatch(it -> it.equalsIgnoreCase(status.toString()));
  }

  private static boolean isAskedAgain(int code, WebhookStage.Settings settings, List<Integer> past) {
    if (settings.retries != null && settings.retries.containsKey(code)) {
      return past.stream().filter(it -> it == code).count() < settings.retries.get(code).maxAttempts;
    }
    return code >= 500 || code == 429 || settings.retryStatusCodes.contains(code);
  }

  private static TaskResult result(ExecutionStatus status, Map<String, Object> webhook) {
    return TaskResult.builder(status).context(Map.of("webhook", webhook)).build();
  }
}
