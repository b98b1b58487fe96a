package engine;

import com.jayway.jsonpath.JsonPath;
import com.netflix.spinnaker.orca.api.pipeline.OverridableTimeoutRetryableTask;
import com.netflix.spinnaker.orca.api.pipeline.TaskResult;
import com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus;
import com.netflix.spinnaker.orca.api.pipeline.models.StageExecution;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.UnknownHostException;
import java.util.HashMap;
import java.util.Map;
import org.springframework.stereotype.Component;

/** The first call of a webhook stage: every 10 s again on 5xx and 429, at most 5 min; any other failure ends the stage at once. */
@Component
class CreateWebhookTask implements OverridableTimeoutRetryableTask {
  private final WebhookCaller caller;

  CreateWebhookTask(WebhookCaller caller) {
    this.caller = caller;
  }

  @Override
  public long getBackoffPeriod() {
    return 10_000;
  }

  @Override
  public long getTimeout() {
    return 300_000;
  }

  @Override
  public TaskResult execute(StageExecution stage) {
    var settings = stage.mapTo(WebhookStage.Settings.class);
    var webhook = new HashMap<String, Object>();
    WebhookCaller.Answer answer;
    try {
      answer = caller.call(settings.method.toUpperCase(), settings.url, settings.customHeaders, settings.payload);
    } catch (Exception failure) {
      webhook.put("error", "Calling " + settings.url + ": " + failure);
      boolean again =
          isA(failure, UnknownHostException.class)
              || (isA(failure, SocketTimeoutException.class) && settings.method.equalsIgnoreCase("GET"));
      return result(again ? ExecutionStatus.RUNNING : ExecutionStatus.TERMINAL, webhook);
    }
    webhook.put("statusCode", answer.code);
    webhook.put("statusCodeValue", answer.code);
    webhook.put("headers", answer.headers);
    if (answer.body != null) {
      webhook.put("body", answer.body);
    }
    if (answer.code >= 400) {
      webhook.put("error", settings.url + " answered " + answer.code);
      boolean again =
          !settings.failFastStatusCodes.contains(answer.code)
              && (answer.code >= 500 || answer.code == 429 || settings.webhookRetryStatusCodes.contains(answer.code));
      return result(again ? ExecutionStatus.RUNNING : ExecutionStatus.TERMINAL, webhook);
    }
    if (settings.waitForCompletion) {
      String status;
      try {
        status = statusUrl(answer, settings);
      } catch (RuntimeException failure) {
        webhook.put("error", "Exception while resolving status check URL: " + failure.getMessage());
        return result(ExecutionStatus.TERMINAL, webhook);
      }
      if (status == null || status.isEmpty()) {
        webhook.put("error", "The status URL couldn't be resolved, but 'Wait for completion' is configured");
        return result(ExecutionStatus.TERMINAL, webhook);
      }
      stage.getContext().put("statusEndpoint", status);
      webhook.put("statusEndpoint", status);
    }
    return result(ExecutionStatus.SUCCEEDED, webhook);
  }

  static boolean isA(Exception failure, Class<? extends Exception> kind) {
    return kind.isInstance(failure) || kind.isInstance(failure.getCause());
  }

  /** A status address on the same host keeps the scheme of the first call; a relative one is taken as it is, and then fails. */
  private static String statusUrl(WebhookCaller.Answer answer, WebhookStage.Settings settings) {
    String url;
    switch (String.valueOf(settings.statusUrlResolution)) {
      case "getMethod":
        return settings.url;
      case "locationHeader":
        url = answer.headers.get("Location");
        break;
      case "webhookResponse":
        url = JsonPath.read(answer.body, settings.statusUrlJsonPath);
        break;
      default:
        throw new IllegalStateException("Unexpected value: " + settings.statusUrlResolution);
    }
    if (url == null) {
      return null;
    }
    URI first = URI.create(settings.url);
    URI status = URI.create(url);
    if (first.getHost().equals(status.getHost()) && !first.getScheme().equals(status.getScheme())) {
      return first.getScheme() + url.substring(status.getScheme().length());
    }
    return url;
  }

  private static TaskResult result(ExecutionStatus status, Map<String, Object> webhook) {
    return TaskResult.builder(status).context(Map.of("webhook", webhook)).build();
  }
}
