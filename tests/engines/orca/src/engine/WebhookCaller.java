package engine;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.netflix.spinnaker.orca.config.UserConfiguredUrlRestrictions;
import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import okhttp3.Headers;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import org.springframework.stereotype.Component;

/**
 * HTTP as orca-webhook speaks it: 15 s to connect, 20 s to read, redirects followed, and only to hosts that Orca's own default
 * restrictions let pass.
 *
 * <p>Orca refuses names that resolve to this machine. Here every name does, so that one check alone is left out; IP addresses, localhost,
 * names without a dot and under .local, .internal, .localdomain or .spinnaker are refused as always.
 */
@Component
class WebhookCaller {
  static final class Answer {
    final int code;
    final Object body;
    final Map<String, String> headers;

    Answer(int code, Object body, Map<String, String> headers) {
      this.code = code;
      this.body = body;
      this.headers = headers;
    }
  }

  private static final List<String> DENIED_HEADERS =
      List.of("X-SPINNAKER-USER", "X-SPINNAKER-ACCOUNT", "X-SPINNAKER-USER-ORIGIN", "X-SPINNAKER-REQUEST-ID", "X-SPINNAKER-EXECUTION-ID");
  private static final MediaType JSON = MediaType.get("application/json");

  private final ObjectMapper mapper;
  private final OkHttpClient client =
      new OkHttpClient.Builder().connectTimeout(Duration.ofSeconds(15)).readTimeout(Duration.ofSeconds(20)).build();
  private final UserConfiguredUrlRestrictions.Builder defaults = new UserConfiguredUrlRestrictions.Builder();
  private final UserConfiguredUrlRestrictions restrictions =
      new UserConfiguredUrlRestrictions.Builder().withRejectLocalhost(false).build();

  WebhookCaller(ObjectMapper mapper) {
    this.mapper = mapper;
  }

  /** A failure to get any answer is thrown as it is; the caller decides by its kind whether to try again. */
  Answer call(String method, String url, Map<String, Object> customHeaders, Object payload) throws IOException {
    var request = new Request.Builder().url(validated(url).toString());
    var headers = new Headers.Builder();
    if (customHeaders != null) {
      customHeaders.forEach(
          (name, value) -> {
            if (!DENIED_HEADERS.contains(name.toUpperCase())) {
              headers.set(name, String.valueOf(value));
            }
          });
    }
    request.headers(headers.build()).method(method, body(method, headers.get("Content-Type"), payload));
    try (Response response = client.newCall(request.build()).execute()) {
      var names = new TreeMap<String, String>();
      response.headers().forEach(pair -> names.putIfAbsent(pair.getFirst(), pair.getSecond()));
      return new Answer(response.code(), parsed(response.body().string()), names);
    }
  }

  private URI validated(String url) {
    String host = URI.create(url).getHost();
    if (host != null && !isIp(host) && !isPublicName(host)) {
      throw new IllegalArgumentException("Host not allowed: " + host);
    }
    return restrictions.validateURI(url);
  }

  private boolean isPublicName(String host) {
    return Pattern.matches(defaults.getAllowedHostnamesRegex(), host)
        && defaults.getExcludedDomains().stream()
            .noneMatch(domain -> Pattern.matches(String.format(defaults.getExcludedDomainTemplate(), Pattern.quote(domain)), host));
  }

  private static boolean isIp(String host) {
    return com.google.common.net.InetAddresses.isInetAddress(host.replace("[", "").replace("]", ""));
  }

  private RequestBody body(String method, String contentType, Object payload) throws JsonProcessingException {
    if (method.equals("GET") || method.equals("HEAD")) {
      return null;
    }
    if (payload == null) {
      return RequestBody.create(new byte[0], null);
    }
    byte[] content = payload instanceof String ? ((String) payload).getBytes() : mapper.writeValueAsBytes(payload);
    return RequestBody.create(content, contentType == null ? JSON : MediaType.parse(contentType));
  }

  private Object parsed(String body) {
    if (body.isEmpty()) {
      return null;
    }
    try {
      return mapper.readValue(body, Object.class);
    } catch (JsonProcessingException notJson) {
      return body;
    }
  }
}
