// What goes wrong with Dispatch and sockets on Linux, provoked; docs/testing.md tells which test is for what. Those that count what
// the whole process has run in a process of their own.

import Dispatch
import Glibc
import Testing

@testable import DispatchSockets

extension SocketTests {
    @Suite struct HazardTests {
        /// A descriptor closed before Dispatch has let go of it never fires for whoever gets its number next.
        @Test func aLoopThatGetsTheDescriptorsOfAnEndedOneIsServed() async {
            await #expect(processExitsWith: .success) {
                alarm(240)  // Nobody else would end a child that hangs.
                var seen: Set<CInt> = []
                var reused = 0
                for _ in 0..<100 {
                    // It ends from within its own source's handler.
                    let ending = try TestServer { connection, event in
                        if case .received = event { connection.loop.shutdown() }
                    }
                    if !seen.insert(ending.loop.poller.descriptor).inserted { reused += 1 }
                    let last = try ending.connect()
                    try last.send("x")
                    await ending.events.waitForClose()

                    let successor = try TestServer(react: ConnectionTests.echo)
                    if !seen.insert(successor.loop.poller.descriptor).inserted { reused += 1 }
                    let client = try successor.connect()
                    try client.send("alive")
                    let answer = try client.receiveText(count: 5)
                    precondition(answer == "alive")
                }
                precondition(reused > 50, "numbers were used again only \(reused) times: nothing was tried")
            }
        }

        @Test func resetsAtFullSpeedHarmNobody() async throws {
            let server = try TestServer(react: ConnectionTests.echo)
            let bystander = try server.connect()

            let failures = Recorder<String>()
            DispatchQueue.concurrentPerform(iterations: 4) { number in
                for _ in 0..<250 {
                    do {
                        let client = try server.connect()
                        client.resetOnClose()
                        try client.send("x")
                        // Every other one leaves before its answer.
                        if number.isMultiple(of: 2) { _ = try client.receive(count: 1) }
                        client.close()
                    } catch { failures.add("\(error)") }
                }
            }
            try bystander.send("alive")

            #expect(try bystander.receiveText(count: 5) == "alive")
            #expect(failures.values.isEmpty)
            await server.events.waitForClose(count: 1000)
            let left = server.loop.sync { server.loop.poller.count }
            #expect(left == 2, "the listener and the bystander")
        }

        @Test func connectionsBringNoThreads() async {
            await #expect(processExitsWith: .success) {
                alarm(240)
                let server = try TestServer(react: ConnectionTests.echo)
                let clients = try (0..<256).map { _ in try server.connect() }
                try clients[0].send("x")
                _ = try clients[0].receive(count: 1)
                let before = threadCount()

                var most = before
                for _ in 0..<10 {
                    for client in clients { try client.send("x") }
                    for client in clients { _ = try client.receive(count: 1) }
                    most = max(most, threadCount())
                }

                precondition(before > 0)
                // Some of Dispatch's and of the runtime's come late.
                precondition(most <= before + 16, "\(before) threads with one active connection, \(most) with 256")
            }
        }

        /// Dispatch traps when a source goes that is suspended, or was never activated.
        @Test func whatIsDroppedAtOnceDoesNotTrap() async {
            await #expect(processExitsWith: .success) {
                alarm(240)
                for _ in 0..<200 { _ = try EventLoop(label: "dropped") }
                let loop = try EventLoop(label: "kept")
                for _ in 0..<200 { _ = SignalWatch([SIGUSR1, SIGUSR2], on: loop) { _ in } }
                let watch = SignalWatch([SIGUSR1], on: loop) { _ in }
                await watch.ready()
                watch.cancel()
                watch.cancel()
                loop.sync {}
                loop.shutdown()
                loop.shutdown()
            }
        }

        @Test func unreadBytesOfAPausedConnectionDoNotMakeTheLoopSpin() async throws {
            let server = try TestServer { connection, event in
                if case .opened = event { connection.pauseReading() }
            }
            let client = try server.connect()
            try client.send("nobody reads this now")
            await server.events.wait(forCount: 1)

            #expect(comesToRest(server.loop))
        }

        /// EPOLLERR comes with nothing else for a pipe that nobody reads any more, whatever was asked for.
        @Test(arguments: [Interest.read, .write]) func anErrorAloneIsToldAndDoesNotComeAgain(_ interest: Interest) async throws {
            var ends: [CInt] = [0, 0]
            let code = pipe(&ends)
            try #require(code == 0)
            // Closed on exec: a child of another test would keep the reading end open.
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            let (reader, writer) = (ends[0], ends[1])
            _ = fcntl(writer, F_SETFL, O_NONBLOCK)
            // A full pipe is not writable: only the error remains.
            let filler = [UInt8](repeating: 0, count: 65_536)
            while write(writer, filler, filler.count) > 0 {}
            let loop = try EventLoop(label: "test")
            let seen = Recorder<Interest>()
            let box = Recorder<OnLoop<Watch>>()
            try loop.sync { () throws(SocketError) in
                let watch = try loop.watch(writer, for: interest) { found in
                    seen.add(found)
                    box.values[0].value.change(to: [])
                }
                box.add(OnLoop(value: watch))
            }

            close(reader)
            await seen.wait(forCount: 1)

            #expect(seen.values[0].isSuperset(of: [.hangup, interest]))
            #expect(comesToRest(loop))
            #expect(seen.values.count == 1)
            loop.sync { box.values[0].value.cancel() }
            close(writer)
            loop.shutdown()
        }
    }
}

/// The threads of this process; 0 when that cannot be told.
func threadCount() -> Int {
    guard let stream = opendir("/proc/self/task") else { return 0 }
    defer { closedir(stream) }
    var count = 0
    while let entry = readdir(stream) {
        if entry.pointee.d_name.0 != CChar(bitPattern: UInt8(ascii: ".")) { count += 1 }
    }
    return count
}
