// Bounds on everything a client can make the server hold or wait for.

/// Bounds of one HTTP server. The defaults suit a control API: small requests, many connections.
public struct HTTPLimits: Sendable {
    /// Bytes of the request target; longer is 414.
    public var maximumTarget = 8 * 1024
    /// Bytes of a request line with all its fields; longer is 431. At most 16 MiB.
    public var maximumHead = 32 * 1024
    /// Fields of one request, and of the trailer of a chunked one; more is 431.
    public var maximumFields = 100
    /// Bytes of a request body, after chunks are joined; longer is 413.
    public var maximumBody = 1024 * 1024
    /// Bytes of chunk extensions in one request body; they mean nothing here, so more is 400.
    public var maximumChunkExtensions = 4 * 1024
    /// Bytes of further requests that are kept while a handler runs or the client does not read; above it reading is paused.
    /// One read of the socket may go beyond it.
    public var maximumPipelinedBytes = 64 * 1024
    /// Connections of one listener; further ones wait in the kernel's queue.
    public var maximumConnections = 16 * 1024
    /// Bytes of answers that may wait for a client to read them before its next request is looked at.
    public var writeHighWater = 256 * 1024

    /// From the first byte of a request to the end of its fields; then 408.
    public var headerTimeout = Duration.seconds(10)
    /// From the end of the fields to the end of the body; then 408.
    public var bodyTimeout = Duration.seconds(30)
    /// Between two requests of a connection; then it is closed.
    public var idleTimeout = Duration.seconds(75)
    /// A client that reads less than `minimumWriteProgress` of a waiting answer in this time is cut off.
    public var writeTimeout = Duration.seconds(30)
    /// Bytes; see `writeTimeout`.
    public var minimumWriteProgress = 16 * 1024
    /// After the last answer: how long the client may go on sending before the connection is gone.
    public var linger = Duration.seconds(2)

    public init() {}
}
