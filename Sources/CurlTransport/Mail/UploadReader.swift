// Reads a transfer's content one piece ahead of the connection.

import DispatchSockets

/// Asks an upload for its pieces, one call at a time, and keeps one ready.
// @unchecked: all state is touched on `loop` only; the task that waits for a piece holds nothing but the upload.
final class UploadReader: @unchecked Sendable {
    /// The size of a piece: large enough that asking costs little, small enough that many transfers stay cheap.
    static let pieceLength = 64 * 1024

    enum Piece: Sendable {
        case bytes([UInt8])
        case end
        case failed(String)
    }

    private let upload: any CurlUpload
    private let loop: EventLoop
    private var ready: Piece?
    private var task: Task<Void, Never>?
    private var hasEnded = false
    private var stopped: (() -> Void)?
    /// Called when a piece has come that was waited for.
    var pieceCame: (() -> Void)?

    init(_ upload: any CurlUpload, loop: EventLoop) {
        self.upload = upload
        self.loop = loop
    }

    /// The next piece, and asks for the one after it; nil when it has not come yet.
    func take() -> Piece? {
        let piece = ready
        ready = nil
        fetch()
        return piece
    }

    /// Asks for the next piece, unless one is there or on its way.
    private func fetch() {
        guard ready == nil, task == nil, !hasEnded, stopped == nil else { return }
        task = Task { [upload, loop] in
            let piece: Piece
            do {
                let bytes = try await upload.next(maximum: Self.pieceLength)
                piece = bytes.isEmpty ? .end : .bytes(bytes)
            } catch {
                piece = .failed(String(describing: error))
            }
            loop.execute { self.came(piece) }
        }
    }

    /// Lets no further call be made, and calls `done` when the one under way has come back.
    func stop(then done: @escaping () -> Void) {
        pieceCame = nil
        guard let task else { return done() }
        stopped = done
        task.cancel()
    }

    private func came(_ piece: Piece) {
        task = nil
        if let stopped {
            self.stopped = nil
            hasEnded = true
            stopped()
            return
        }
        if case .bytes = piece {} else { hasEnded = true }
        ready = piece
        pieceCame?()
    }
}
