// A transfer from the moment it is asked for until its result is told.

import DispatchSockets

/// Where a transfer stands.
// @unchecked: touched only on the loop of its `CurlMulti`.
final class TransferJob: @unchecked Sendable {
    enum Stage {
        /// Not yet begun; `isCancelled` may be set already.
        case new
        case waiting
        case opening(CurlEasy)
        case carried(MailSession)
        case ended
    }

    let transfer: CurlTransfer
    var stage = Stage.new
    var isCancelled = false
    /// When something last happened while libcurl opened the session.
    var lastProgress = ContinuousClock.now
    var openingTimer: LoopTimer?
    var overallTimer: LoopTimer?
    var completion: ((CurlResult) -> Void)?

    init(_ transfer: CurlTransfer) { self.transfer = transfer }
}
