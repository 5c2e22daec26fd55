// The functions that gather facts, on files and sockets of their own.

import DispatchSockets
import FlushCore
import Glibc
import Testing

@testable import Doctor
@testable import PostfixQueue

/// A directory that goes with the test.
final class Scratch {
    let path: String

    init() throws {
        var template = Array("/tmp/etrnd-doctor-XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
    }

    deinit { Self.remove(path) }

    func make(directory name: String) -> String {
        #expect(mkdir("\(path)/\(name)", 0o700) == 0)
        return "\(path)/\(name)"
    }

    @discardableResult func make(file name: String, modified seconds: Int = 0) -> String {
        let file = "\(path)/\(name)"
        let descriptor = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0o700)
        #expect(descriptor >= 0)
        close(descriptor)
        let time = timespec(tv_sec: seconds, tv_nsec: 0)
        #expect(utimensat(AT_FDCWD, file, [time, time], 0) == 0)
        return file
    }

    private static func remove(_ path: String) {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                if name != ".", name != ".." { remove("\(path)/\(name)") }
            }
            closedir(directory)
        }
        Glibc.remove(path)
    }
}

@Suite(.timeLimit(.minutes(5))) struct LookingTests {
    // MARK: The clock

    @Test func filesThatAreDueTooLateAreCountedInHashDirectoriesToo() throws {
        let scratch = try Scratch()
        _ = scratch.make(directory: "A")
        _ = scratch.make(directory: "A/B")
        let now = Int(time(nil))
        scratch.make(file: "A/AB1", modified: now + 100)
        scratch.make(file: "A/B/AB2", modified: now + 5_000)
        scratch.make(file: "CC3", modified: now - 5_000)

        var clock = QueueClock(deferred: scratch.path, maximalBackoff: 4_000)
        let facts = clock.look()

        #expect(facts.filesLooked == 3 && facts.dueTooLate == 1 && facts.changedLater == 0)
        if let skew = facts.skew { #expect(skew < .seconds(1) && skew > .seconds(-1)) }
    }

    @Test func aQueueThatIsNotThereHasNoClock() {
        var clock = QueueClock(deferred: "/nonexistent/deferred", maximalBackoff: 4_000)

        #expect(clock.look() == PostfixFacts.Clock())
    }

    // MARK: Files

    @Test func aPathIsLookedAtAsItIs() throws {
        let scratch = try Scratch()
        let directory = scratch.make(directory: "d")
        chmod(directory, 0o710)

        let facts = Files.look(at: directory)
        #expect(facts.kind == .directory && facts.modeText == "0710" && facts.owner == geteuid())
        #expect(Files.look(at: scratch.make(file: "f")).kind == .regular)
        #expect(Files.look(at: "\(scratch.path)/none").kind == .missing)
        #expect(Files.look(at: "\(scratch.path)/f/none").kind == .missing)
    }

    @Test func theDirectoryThatKeepsSomebodyOutIsNamed() throws {
        let scratch = try Scratch()
        chmod(scratch.path, 0o755)
        let closed = scratch.make(directory: "closed")
        let stranger = Identity(user: 65_533, name: "stranger")

        #expect(Files.closedDirectory(onTheWayTo: "\(closed)/log", for: stranger) == closed)
        chmod(closed, 0o755)
        #expect(Files.closedDirectory(onTheWayTo: "\(closed)/log", for: stranger) == nil)
    }

    @Test(arguments: [("/a/b", "/a"), ("/a", "/"), ("/", "/")])
    func aPathHasAParent(_ path: String, _ parent: String) {
        #expect(Files.parent(of: path) == parent)
    }

    // MARK: Sockets

    @Test func aListenerThatSaysNothingIsSilent() throws {
        let scratch = try Scratch()
        let path = "\(scratch.path)/s"
        let listener = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(listener) }
        #expect(SocketAddress.unix(path: path).withSystemAddress { bind(listener, $0, $1) } == 0)

        #expect(throws: SocketError.system(operation: "connect", code: ECONNREFUSED)) {
            _ = try ProbeConnection(to: .unix(path: path), within: .seconds(1)).server
        }
        #expect(listen(listener, 4) == 0)
        let connection = try ProbeConnection(to: .unix(path: path), within: .seconds(1))
        #expect(connection.greeting(within: .milliseconds(50)) { !$0.isEmpty } == .silent)
        #expect(connection.server?.id == getpid())
        #expect(connection.server?.identity.user == geteuid())
    }

    @Test func aGreetingIsReadInPiecesAndShownInALine() throws {
        let scratch = try Scratch()
        let path = "\(scratch.path)/s"
        let listener = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(listener) }
        #expect(SocketAddress.unix(path: path).withSystemAddress { bind(listener, $0, $1) } == 0 && listen(listener, 4) == 0)
        let connection = try ProbeConnection(to: .unix(path: path), within: .seconds(1))
        let peer = accept(listener, nil, nil)
        #expect(peer >= 0)
        for piece in ["220-", "one\r\n", "220 two\r\n"] { #expect(send(peer, piece, piece.utf8.count, 0) == piece.utf8.count) }
        close(peer)

        #expect(connection.greeting(within: .seconds(5), until: NextHopExamination.isWholeReply) == .heard("220-one  220 two"))
        #expect(connection.greeting(within: .seconds(5)) { _ in false } == .closed)
    }

    @Test func anAnswerWithoutEndIsCut() throws {
        let scratch = try Scratch()
        let path = "\(scratch.path)/s"
        let listener = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(listener) }
        #expect(SocketAddress.unix(path: path).withSystemAddress { bind(listener, $0, $1) } == 0 && listen(listener, 4) == 0)
        let connection = try ProbeConnection(to: .unix(path: path), within: .seconds(1))
        let peer = accept(listener, nil, nil)
        defer { close(peer) }
        let flood = [UInt8](repeating: 0x78, count: 3 * ProbeConnection.maximumAnswer)
        #expect(send(peer, flood, flood.count, 0) == flood.count)

        let (bytes, end) = connection.receive(within: .seconds(5)) { _ in false }

        #expect(end == .enough && bytes.count < 2 * ProbeConnection.maximumAnswer)
    }

    // MARK: Names and tables

    @Test func anAddressNeedsNoNameServer() throws {
        #expect(try NameLookUp.addresses(of: "127.0.0.1", port: 25, within: 10) == [SocketAddress(parsing: "127.0.0.1:25")])
        #expect(try NameLookUp.addresses(of: "::1", port: 2_525, within: 10) == [SocketAddress(parsing: "[::1]:2525")])
    }

    @Test(arguments: [
        ("customer.example", true, true), ("example", true, true), ("example", false, false), (".example", false, true),
        ("!customer.example, example", true, false), ("other.example", true, false), ("!other.example example", true, true),
    ])
    func namesInRelayDomainsMatchAsInPostfix(_ list: String, _ isParentMode: Bool, _ isListed: Bool) throws {
        let mainCf = MainCf(
            parsing: "relay_domains = \(list)\nparent_domain_matches_subdomains = \(isParentMode ? "relay_domains, other" : "other")\n")
        let examination = RoutingExamination(mainCf: mainCf, directory: "/nonexistent", isPostfixRunning: false)

        let listed = examination.look(at: try DomainName(parsing: "customer.example")).relayDomains

        switch listed {
        case .yes: #expect(isListed)
        case .no: #expect(!isListed)
        case .unknown(let reason): Issue.record("\(reason)")
        }
    }

    @Test func aProxiedTableIsNotAskedWhilePostfixIsDown() throws {
        let mainCf = MainCf(parsing: "relay_domains = proxy:sqlite:/x.cf\ntransport_maps = proxy:sqlite:/y.cf\n")
        let routing = RoutingExamination(mainCf: mainCf, directory: "/nonexistent", isPostfixRunning: false)
            .look(at: try DomainName(parsing: "customer.example"))

        guard case .unknown(let listed) = routing.relayDomains, case .unknown(let route) = routing.transport else {
            Issue.record("\(routing)")
            return
        }
        #expect(listed.contains("proxy:sqlite:/x.cf") && route.contains("proxy:sqlite:/y.cf"))
    }

    @Test func withoutTablesThereIsNoRow() throws {
        let routing = RoutingExamination(mainCf: MainCf(parsing: ""), directory: "/nonexistent", isPostfixRunning: true)
            .look(at: try DomainName(parsing: "customer.example"))

        #expect(routing == PostfixRouting(relayDomains: .no, transport: .none))
    }
}
