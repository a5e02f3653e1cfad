package io.switchback.release;

/**
 * What the check has found to be right for a move and its way back.
 *
 * @param because why, for a person
 */
public record LinkChoice(LinkKind kind, String because) {}
