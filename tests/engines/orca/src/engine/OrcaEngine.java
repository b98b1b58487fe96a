package engine;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.netflix.spinnaker.fiat.shared.EnableFiatAutoConfig;
import com.netflix.spinnaker.kork.boot.DefaultPropertiesBuilder;
import com.netflix.spinnaker.orca.config.OrcaConfiguration;
import com.netflix.spinnaker.orca.config.RedisConfiguration;
import com.netflix.spinnaker.orca.front50.config.Front50Configuration;
import com.netflix.spinnaker.orca.jackson.OrcaObjectMapper;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.autoconfigure.groovy.template.GroovyTemplateAutoConfiguration;
import org.springframework.boot.autoconfigure.jdbc.DataSourceAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Import;

/** Starts Orca's own engine from its published jars, with the stages of this package beside those that the jars hold. */
@SpringBootApplication(
    scanBasePackages = {"com.netflix.spinnaker.config", "engine"},
    exclude = {GroovyTemplateAutoConfiguration.class, DataSourceAutoConfiguration.class})
@Import({OrcaConfiguration.class, RedisConfiguration.class, Front50Configuration.class})
@EnableFiatAutoConfig
public class OrcaEngine {
  public static void main(String[] arguments) {
    new SpringApplicationBuilder()
        .properties(new DefaultPropertiesBuilder().property("spring.application.name", "orca").build())
        .sources(OrcaEngine.class)
        .run(arguments);
  }

  @Bean
  ObjectMapper objectMapper() {
    return OrcaObjectMapper.getInstance();
  }
}
