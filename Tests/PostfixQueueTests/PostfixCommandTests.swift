// Postfix's commands as child processes.

import Dispatch
import Testing

@testable import PostfixQueue

@Suite(.timeLimit(.minutes(5))) struct PostfixCommandTests {
    /// A thread of Dispatch blocks nearly every signal, and a child inherits that: one that cannot be asked to end.
    @Test func aChildHasNoSignalsBlockedOrIgnored() async throws {
        let status = try await withCheckedThrowingContinuation { continuation in
            DispatchQueue(label: "worker").async { @Sendable in
                continuation.resume(with: Result { try PostfixCommand(program: "cat").run(["/proc/self/status"]) })
            }
        }

        let masks = status.split(separator: "\n").filter { $0.hasPrefix("SigBlk:") || $0.hasPrefix("SigIgn:") }
        #expect(masks.count == 2)
        // 32 and 33 are the C library's own, which nobody can set.
        for mask in masks { #expect(UInt64(mask.suffix(16), radix: 16).map { $0 & 0x7fff_ffff } == 0, "\(mask)") }
    }
}
