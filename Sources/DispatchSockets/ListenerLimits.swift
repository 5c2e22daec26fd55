// The bounds of a listener and its connections.

/// What a listener takes on.
public struct ListenerLimits: Sendable {
    /// Connections that the kernel keeps waiting for us; its own bound is net.core.somaxconn.
    public var backlog: CInt
    /// Connections open at once; at the limit accepting is parked, and further peers wait in the backlog.
    public var maximumConnections: Int
    /// The mode of a UNIX socket's file: who may write to it may connect.
    public var socketMode: UInt32
    /// Bytes not yet sent above which `Connection.write` says stop.
    public var writeHighWater: Int
    /// Bytes not yet sent at which `connectionDrained` says go on.
    public var writeLowWater: Int
    /// Bytes not yet sent that nobody needs: a connection whose handler goes on writing past this is aborted.
    public var maximumBacklog: Int

    public init(
        backlog: CInt = 1024, maximumConnections: Int = 16_384, socketMode: UInt32 = 0o660, writeHighWater: Int = 256 * 1024,
        writeLowWater: Int = 64 * 1024, maximumBacklog: Int = 64 * 1024 * 1024
    ) {
        self.backlog = backlog
        self.maximumConnections = maximumConnections
        self.socketMode = socketMode
        self.writeHighWater = writeHighWater
        self.writeLowWater = writeLowWater
        self.maximumBacklog = maximumBacklog
    }
}
