# Finds a JDK 25 or newer and prints its home. Sourced by ./mvnw and ./switchback.
#
# Looks at JAVA_HOME, then at the java on PATH, then in the usual install folders, and takes the first that is new enough
# and has a compiler. A folder's `release` file names the version, so no JVM is started to ask.

JDK_FEATURE_MIN=25

# jdk_feature HOME: prints the feature release (25 for 25.0.1), or nothing where HOME is no JDK.
jdk_feature() {
  [ -x "$1/bin/java" ] && [ -x "$1/bin/javac" ] && [ -r "$1/release" ] || return 0
  sed -n 's/^JAVA_VERSION="\{0,1\}\([0-9]*\).*/\1/p' "$1/release"
}

# find_jdk: prints the home of a fitting JDK; without one, says what to install and returns 1.
find_jdk() {
  path_java=$(command -v java 2>/dev/null) && path_java=$(readlink -f "$path_java" 2>/dev/null) || path_java=
  for home in "${JAVA_HOME:-}" "${path_java%/bin/java}" \
    /usr/lib/jvm/* /usr/java/* /opt/java/* /opt/jdk* /opt/*jdk* "${HOME:-}"/.sdkman/candidates/java/* "${HOME:-}"/.jdks/* \
    /Library/Java/JavaVirtualMachines/*/Contents/Home; do
    [ -n "$home" ] || continue
    feature=$(jdk_feature "$home")
    if [ "${feature:-0}" -ge "$JDK_FEATURE_MIN" ]; then
      printf '%s\n' "$home"
      return 0
    fi
  done
  {
    echo "Switchback needs a JDK $JDK_FEATURE_MIN or newer (a JDK, not only a JRE), and none was found."
    echo "  looked at: JAVA_HOME (${JAVA_HOME:-not set}), java on PATH (${path_java:-none}), /usr/lib/jvm, /usr/java, /opt, ~/.sdkman, ~/.jdks"
    echo "  install one: Debian or Ubuntu: apt-get install openjdk-$JDK_FEATURE_MIN-jdk, or temurin-$JDK_FEATURE_MIN-jdk from Adoptium;"
    echo "               macOS: brew install temurin@$JDK_FEATURE_MIN;  any system: sdk install java $JDK_FEATURE_MIN-tem"
    echo "  or point to one that is elsewhere: JAVA_HOME=/path/to/jdk-$JDK_FEATURE_MIN $0"
  } >&2
  return 1
}
