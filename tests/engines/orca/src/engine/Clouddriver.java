package engine;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import okhttp3.HttpUrl;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.stereotype.Component;

/** The calls to Clouddriver that the stages of this package need. */
@Component
class Clouddriver {
  static final class Refused extends RuntimeException {
    final int code;

    Refused(int code, String message) {
      super(message);
      this.code = code;
    }
  }

  private final OkHttpClient client = new OkHttpClient.Builder().readTimeout(Duration.ofSeconds(60)).build();
  private final ObjectMapper mapper;
  private final HttpUrl base;

  Clouddriver(ObjectMapper mapper, @Value("${clouddriver.baseUrl}") String base) {
    this.mapper = mapper;
    this.base = HttpUrl.get(base);
  }

  /** Starts an operation and gives its id; the same request again, after a restart, gives the same id. */
  String operate(String name, Map<String, Object> description, String requestId) throws IOException {
    var url = base.newBuilder().addPathSegments("kubernetes/ops").addQueryParameter("clientRequestId", requestId).build();
    var body = RequestBody.create(mapper.writeValueAsBytes(List.of(Map.of(name, description))), MediaType.get("application/json"));
    return (String) call(new Request.Builder().url(url).post(body).build()).get("id");
  }

  Map<String, Object> task(String id) throws IOException {
    return get("task", id);
  }

  Map<String, Object> manifest(String account, String location, String name) throws IOException {
    return get("manifests", account, location, name);
  }

  Map<String, Object> job(String application, String account, String location, String name) throws IOException {
    return get("applications", application, "jobs", account, location, name);
  }

  private Map<String, Object> get(String... path) throws IOException {
    var url = base.newBuilder();
    for (String segment : path) {
      url.addPathSegment(segment);
    }
    return call(new Request.Builder().url(url.build()).build());
  }

  @SuppressWarnings("unchecked")
  private Map<String, Object> call(Request request) throws IOException {
    try (Response response = client.newCall(request).execute()) {
      String body = response.body().string();
      if (!response.isSuccessful()) {
        throw new Refused(response.code(), "Clouddriver answered " + response.code() + ": " + body);
      }
      return mapper.readValue(body, Map.class);
    }
  }
}
