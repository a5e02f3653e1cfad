package io.switchback.testkit;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * A test or test class that runs only where these servers are there, by the names of {@link ServerBinary}; where one is
 * missing it is skipped, and the report says which one and how to get it.
 *
 * <p>For use by tests only: it needs JUnit, which this module does not bring along.
 */
@Target({ElementType.TYPE, ElementType.METHOD})
@Retention(RetentionPolicy.RUNTIME)
@ExtendWith(RequiresServersCondition.class)
public @interface RequiresServers {
    /** Such as {@code {"redis-7.0", "valkey-9.1"}}. */
    String[] value();
}
