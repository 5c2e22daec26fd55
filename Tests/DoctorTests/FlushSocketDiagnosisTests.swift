// Each way in which Postfix's programs can miss us at the flush socket.

import Testing

@testable import Doctor

@Suite struct FlushSocketDiagnosisTests {
    let postfix = Identity(user: 102, name: "postfix")
    let greeting = Conversation.heard("protocol queue_flush_protocol")

    private func finding(
        kind: FileFacts.Kind = .socket, mode: UInt32 = 0o666, owner: UInt32 = 102, _ conversation: Conversation,
        server: Int32? = nil, daemon: Int32? = nil
    ) -> Finding {
        let file = FileFacts(path: "/q/public/etrnd", kind: kind, mode: mode, owner: owner, ownerName: owner == 102 ? "postfix" : "root")
        func process(_ id: Int32) -> PeerProcess { PeerProcess(id: id, identity: postfix, command: "etrnd") }
        return Diagnosis.flushSocket(file, conversation, server: server.map(process), daemon: daemon.map(process), owner: postfix)
    }

    @Test func aSocketThatGreetsIsGood() {
        let good = finding(greeting, server: 7, daemon: 7)

        #expect(good.level == .ok && good.text.contains("process 7 as postfix"))
    }

    @Test func nobodyThereIsToldWithWhatItMeans() {
        let missing = finding(kind: .missing, .unreachable("No such file or directory"))
        #expect(missing.level == .failure && missing.text.contains("458") && missing.advice?.contains("start etrnd") == true)

        let dead = finding(.unreachable("Connection refused"))
        #expect(dead.level == .failure && dead.text.contains("Connection refused"))
    }

    @Test func aFileInTheWayIsToBeRemoved() {
        #expect(finding(kind: .regular, .unreachable("x")).advice == "rm /q/public/etrnd, and start etrnd again")
    }

    @Test func silenceIsWorseThanNobody() {
        let silent = finding(.silent, server: 7)

        #expect(silent.level == .failure && silent.text.contains("hang") && silent.advice?.contains("(7)") == true)
    }

    @Test func anotherProtocolIsQuoted() {
        #expect(finding(.heard("220 hello")).text.contains("'220 hello'"))
        #expect(finding(.closed).level == .failure)
    }

    @Test func theWrongOwnerOrModeFails() {
        #expect(finding(owner: 0, greeting).level == .failure)
        let narrow = finding(mode: 0o660, greeting)
        #expect(narrow.level == .failure && narrow.advice == "chmod 666 /q/public/etrnd")
    }

    @Test func twoDaemonsAreTold() {
        #expect(finding(greeting, server: 7, daemon: 8).level == .warning)
    }

    @Test func whatMayNotBeSeenIsNotJudged() {
        #expect(finding(kind: .hidden("Permission denied"), .unreachable("Permission denied")).level == .warning)
    }
}
