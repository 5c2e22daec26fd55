// How a client asks: with what, how long, how often.

/// Limits and credentials of a client.
public struct FlushClientOptions: Sendable {
    /// To an open connection.
    public var connectTimeout = Duration.seconds(5)
    /// For a call, retries included; a call that waits for a flush has the time of its wait besides.
    public var timeout = Duration.seconds(30)
    /// Requests at once, and connections kept.
    public var maximumConnections = 64
    /// Bytes of one answer. A page of a thousand messages with long reasons has some megabytes.
    public var maximumAnswer = 32 << 20
    /// How often a request is sent again that surely was not carried out, or changes nothing.
    public var retries = 2
    /// A server that says `Retry-After` with more than this is not waited for: its refusal is the answer.
    public var longestRetryPause = Duration.seconds(2)
    /// The certificates that are trusted, as PEM; nil for the system's.
    public var certificateFile: String?
    public var token: AccessToken?
    public var userAgent = "etrnd-client"

    public init() {}
}
