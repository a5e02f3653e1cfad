package io.switchback.ledger;

/**
 * What was decided about one switch, once and for ever.
 *
 * @param switchId of which attempt of which switch
 * @param reason in words, for people
 * @param evidenceJson what the decider knew (offsets, members), as JSON
 */
public record Decision(String switchId, Verdict verdict, String reason, byte[] evidenceJson) {}
