package io.switchback.fleet.dialect;

/**
 * A word of a command that not every server knows, or that must be known to find the others.
 *
 * @param name upper case
 * @param arguments how many words follow it; or one of the constants below
 * @param missing what to do where the target does not know it
 */
record Option(String name, int arguments, Since since, Missing missing) {
    /** A threshold, and before it = or ~ where the writer wished. */
    static final int TRIM = -1;

    /** As many words as the command has keys. */
    static final int ONE_PER_KEY = -2;

    /** A number n, and 2n coordinates. */
    static final int COORDINATES = -3;

    /** SUM, MIN or MAX. */
    static final int AGGREGATION = -4;

    /** What becomes of an option that the target does not know. */
    enum Missing {
        /** No command of the target has that effect. */
        REFUSED,
        /**
         * It is left out, to the same effect: it only changes the reply, or it is a condition on the whole command, which held,
         * since a stream carries only what took effect; or it sets what the target does not have.
         */
        DROPPED,
        /** The rule's rewriting takes care of it. */
        CARRIED
    }

    static Option flag(String name) {
        return new Option(name, 0, Since.ALWAYS, Missing.REFUSED);
    }

    static Option flag(String name, Since since, Missing missing) {
        return new Option(name, 0, since, missing);
    }

    static Option with(String name, int arguments) {
        return new Option(name, arguments, Since.ALWAYS, Missing.REFUSED);
    }

    static Option with(String name, int arguments, Since since, Missing missing) {
        return new Option(name, arguments, since, missing);
    }
}
