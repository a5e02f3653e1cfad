package io.switchback.testkit;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.platform.commons.support.AnnotationSupport;

/** Skips what asks for servers that are not there. */
final class RequiresServersCondition implements ExecutionCondition {
    @Override
    public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
        List<String> missing = AnnotationSupport.findAnnotation(context.getElement(), RequiresServers.class)
                .map(required -> Servers.missing(Arrays.asList(required.value())))
                .orElse(List.of());
        return missing.isEmpty()
                ? ConditionEvaluationResult.enabled("every server is there")
                : ConditionEvaluationResult.disabled(Servers.skipMessage(missing));
    }
}
