// libcurl's multi interface on an event loop: its sockets become watches, its timer a loop timer.

import CCurl
import DispatchSockets
import Glibc

/// A libcurl handle in the care of whoever made it.
protocol CurlDriven: AnyObject {
    var handle: UnsafeMutableRawPointer { get }
    /// Called when libcurl is done with it.
    var finished: ((CURLcode) -> Void)? { get }
    /// It is about to be taken out: libcurl must not call back any more.
    func willBeRemoved()
}

/// A multi handle, driven by a loop. All of it only on the loop.
// @unchecked: touched only on `loop`; libcurl calls back only from within calls made there.
final class CurlDriver: @unchecked Sendable {
    private let loop: EventLoop
    private let handle: UnsafeMutableRawPointer
    private var watches: [CInt: Watch] = [:]
    private var timer: LoopTimer?
    /// A timer of zero is a piece of work on the loop; it counts only when no later one was set.
    private var timerGeneration = 0
    private var handles: [UnsafeMutableRawPointer: any CurlDriven] = [:]
    private var isClosed = false
    /// Where received bytes lie for a moment.
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 * 1024, alignment: 16)
    /// Called when libcurl closes a socket that it had handed over, while the number is still its: the connection is gone.
    var socketWasClosed: ((CInt) -> Void)?

    /// Nil when libcurl has no memory.
    init?(loop: EventLoop, maximumConnections: Int) {
        guard Self.libraryIsReady, let handle = curl_multi_init() else { return nil }
        self.loop = loop
        self.handle = handle
        // Unretained: `close` cleans the multi handle up before this object goes, and nothing calls back after that.
        let context = Unmanaged.passUnretained(self).toOpaque()
        let socketChanged: curl_socket_callback = { easy, socket, what, context, _ in
            guard let context, let easy else { return 0 }
            Unmanaged<CurlDriver>.fromOpaque(context).takeUnretainedValue().watch(socket, for: what, of: easy)
            return 0
        }
        let timerChanged: curl_multi_timer_callback = { _, milliseconds, context in
            guard let context else { return 0 }
            Unmanaged<CurlDriver>.fromOpaque(context).takeUnretainedValue().setTimer(milliseconds)
            return 0
        }
        _ = ccurl_multi_set_socket_function(handle, socketChanged, context)
        _ = ccurl_multi_set_timer_function(handle, timerChanged, context)
        // Our connections are bounded by us; in libcurl's eyes those in use are idle ones, which a full cache would close.
        _ = ccurl_multi_set_long(handle, CURLMOPT_MAXCONNECTS, maximumConnections + 1)
    }

    /// curl_global_init is not safe from two threads: a global's initialisation happens once.
    private static let libraryIsReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    deinit {
        if !isClosed {
            // Dropped without `close`: nothing runs, or it would hold this object. libcurl must not call back into it now.
            _ = ccurl_multi_set_socket_function(handle, nil, nil)
            _ = ccurl_multi_set_timer_function(handle, nil, nil)
            curl_multi_cleanup(handle)
        }
        scratch.deallocate()
    }

    /// Makes a handle for this session; nil when libcurl has no memory.
    func makeEasy(for opening: CurlOpening) -> CurlEasy? {
        CurlEasy(opening, closeSocket: Self.closeSocketCallback, closeSocketContext: Unmanaged.passUnretained(self).toOpaque())
    }

    /// Makes a handle for this request; nil when libcurl has no memory, or refuses an option.
    func makeEasy(for request: CurlHTTPRequest) -> CurlHTTPEasy? {
        CurlHTTPEasy(request, closeSocket: Self.closeSocketCallback, closeSocketContext: Unmanaged.passUnretained(self).toOpaque())
    }

    /// libcurl closes sockets, those of its cache included, only within calls that this object makes.
    private static let closeSocketCallback: curl_closesocket_callback = { context, socket in
        guard let context else { return Glibc.close(socket) }
        return Unmanaged<CurlDriver>.fromOpaque(context).takeUnretainedValue().closeSocket(socket)
    }

    /// Lets libcurl begin; `easy.finished` is called when it is done. False when libcurl refuses.
    func start(_ easy: some CurlDriven) -> Bool {
        guard !isClosed, curl_multi_add_handle(handle, easy.handle) == CURLM_OK else { return false }
        handles[easy.handle] = easy
        return true
    }

    /// Takes the handle out. A CONNECT_ONLY connection, and one in the middle of something, is closed at once. Never from within libcurl.
    func remove(_ easy: any CurlDriven) {
        guard handles.removeValue(forKey: easy.handle) != nil else { return }
        easy.willBeRemoved()
        curl_multi_remove_handle(handle, easy.handle)
    }

    /// Ends everything. Never from within libcurl.
    func close() {
        guard !isClosed else { return }
        for easy in Array(handles.values) { remove(easy) }
        isClosed = true
        curl_multi_cleanup(handle)
        for watch in watches.values { watch.cancel() }
        watches = [:]
        setTimer(-1)
        socketWasClosed = nil
    }

    // MARK: Called by libcurl

    private func watch(_ socket: CInt, for what: Int32, of easy: UnsafeMutableRawPointer) {
        let interest: Interest
        switch what {
        case CURL_POLL_IN: interest = .read
        case CURL_POLL_OUT: interest = .write
        case CURL_POLL_INOUT: interest = [.read, .write]
        default:
            watches.removeValue(forKey: socket)?.cancel()
            return
        }
        if let watch = watches[socket] {
            watch.change(to: interest)
            return
        }
        do throws(SocketError) {
            watches[socket] = try loop.watch(socket, for: interest) { [self] found in
                var mask: Int32 = 0
                if found.contains(.read) { mask |= CURL_CSELECT_IN }
                if found.contains(.write) { mask |= CURL_CSELECT_OUT }
                if found.contains(.hangup) { mask |= CURL_CSELECT_ERR }
                act(on: socket, mask)
            }
        } catch {
            // A socket that cannot be watched would wait for ever; within a callback libcurl cannot be told.
            let address = UInt(bitPattern: easy)
            loop.execute { [self] in
                guard let easy = UnsafeMutableRawPointer(bitPattern: address) else { return }
                handles[easy]?.finished?(CURLE_OUT_OF_MEMORY)
            }
        }
    }

    private func setTimer(_ milliseconds: Int) {
        timer?.cancel()
        timer = nil
        timerGeneration &+= 1
        let generation = timerGeneration
        if milliseconds == 0 {
            loop.execute { [self] in
                if generation == timerGeneration { act(on: CURL_SOCKET_BAD, 0) }
            }
        } else if milliseconds > 0 {
            timer = loop.schedule(after: .milliseconds(milliseconds)) { [self] in act(on: CURL_SOCKET_BAD, 0) }
        }
    }

    private func closeSocket(_ socket: CInt) -> CInt {
        watches.removeValue(forKey: socket)?.cancel()
        socketWasClosed?(socket)
        return Glibc.close(socket)
    }

    // MARK: Driving

    private func act(on socket: CInt, _ mask: Int32) {
        guard !isClosed else { return }
        if socket == CURL_SOCKET_BAD { timer = nil }
        var running: Int32 = 0
        curl_multi_socket_action(handle, socket, mask, &running)
        var result = CURLE_OK
        while !isClosed, let finished = ccurl_multi_next_finished(handle, &result) {
            guard let easy = handles[finished] else { continue }
            easy.finished?(result)
        }
        guard !isClosed, socket == CURL_SOCKET_BAD, timer == nil else { return }
        // libcurl does not name a time again that it has named before: a timer that came too early would be the last.
        var milliseconds = -1
        if curl_multi_timeout(handle, &milliseconds) == CURLM_OK, milliseconds > 0 { setTimer(milliseconds) }
    }
}
