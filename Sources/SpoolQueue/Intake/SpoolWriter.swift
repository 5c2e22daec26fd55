// One message on its way from the SMTP server to the disk.

import DiskPort
import FlushCore
import Logging
import SMTPServer

/// Takes a message's content and makes it durable.
///
/// A small message is kept in memory and written in one piece of disk work; a larger one goes to its file in `tmp` as it comes.
/// `commit` returns when the file and the directory that it is in are on disk. A crash before that leaves at most a file that nobody was
/// promised: in `tmp`, where the next start removes it, or in the queue, when the crash came just before the 250.
actor SpoolWriter: MessageWriter {
    /// What is kept in memory; beyond it the content is streamed, in pieces of this size.
    static let inMemory = 256 << 10

    nonisolated var unownedExecutor: UnownedSerialExecutor { queue.unownedExecutor }

    private let queue: SpoolQueue
    private var envelope: SpoolEnvelope
    private var hops: HopCounter
    /// What is not in the file yet; begins with our Received line.
    private var buffer: [UInt8]
    private var written = 0
    private var file: (handle: SpoolHandle, contentOffset: Int)?

    init(queue: SpoolQueue, envelope: SpoolEnvelope, received: [UInt8]) {
        self.queue = queue
        self.envelope = envelope
        buffer = received
        hops = HopCounter()
    }

    func append(_ bytes: [UInt8]) async throws(SMTPReply) {
        hops.scan(bytes)
        // What the content is counts, not what was declared of it: the next hop is told.
        if envelope.body == .sevenBit, bytes.contains(where: { $0 >= 0x80 }) { envelope.body = .eightBit }
        buffer += bytes
        guard buffer.count > queue.intakeMemory else { return }
        do throws(SpoolError) { try await spill() } catch { throw refusal(error) }
    }

    func commit() async throws(SMTPReply) -> SMTPReply {
        guard hops.received + 1 < queue.parameters.hopcountLimit else {
            await abandon()
            throw SMTPReply(554, "5.4.6", "Too many hops: the message has \(hops.received) Received lines, it is in a loop")
        }
        envelope.size = written + buffer.count
        do throws(SpoolError) {
            try await queue.expect(envelope)
            try await finishFile()
        } catch {
            await abandon()
            throw refusal(error)
        }
        return SMTPReply(250, "2.0.0", "Ok: queued as \(envelope.id)")
    }

    func abandon() async {
        buffer = []
        let hadFile = file != nil
        file = nil
        await queue.forget(envelope.id)
        guard hadFile else { return }
        await queue.pool.run { [directory = queue.directory, id = envelope.id] in directory.discard(id) }
    }

    /// Writes what has gathered to the file in `tmp`, made with the first piece.
    private func spill() async throws(SpoolError) {
        let piece = buffer
        buffer = []
        let offset = written
        written += piece.count
        let directory = queue.directory
        if let file {
            return try await queue.pool.run { () throws(SpoolError) in
                try directory.write(piece, to: file.handle, at: file.contentOffset + offset)
            }
        }
        let head = SpoolFile.head(of: envelope)
        let id = envelope.id
        let handle = try await queue.pool.run { () throws(SpoolError) in
            let handle = try directory.create(id)
            do throws(SpoolError) { try directory.write(head + piece, to: handle, at: 0) } catch {
                directory.discard(id)
                throw error
            }
            return handle
        }
        file = (handle, head.count)
    }

    private func finishFile() async throws(SpoolError) {
        let (envelope, rest, offset, file) = (envelope, buffer, written, file)
        let directory = queue.directory
        let folder = await queue.folder(for: envelope)
        let due = envelope.arrival
        try await queue.pool.run { () throws(SpoolError) in
            guard let file else { return try directory.store(envelope, content: rest, in: folder, nextAttempt: due) }
            if !rest.isEmpty { try directory.write(rest, to: file.handle, at: file.contentOffset + offset) }
            try directory.write(SpoolFile.head(of: envelope), to: file.handle, at: 0)
            try directory.publish(file.handle, id: envelope.id, to: folder, nextAttempt: due)
        }
        self.file = nil
        buffer = []
        do throws(SpoolError) { try await queue.sync(folder) } catch {
            // The client will send it again: it must not be here twice.
            await queue.pool.run { try? directory.remove(envelope.id, from: folder) }
            throw error
        }
        await queue.accept(envelope, in: folder)
    }

    private func refusal(_ error: SpoolError) -> SMTPReply {
        queue.logger.error("message not taken", metadata: ["queue_id": "\(envelope.id)", "error": "\(error)"])
        return error.isFull ? SpoolQueue.noRoom : SMTPReply(451, "4.3.0", "The message cannot be stored now; try again later")
    }
}
