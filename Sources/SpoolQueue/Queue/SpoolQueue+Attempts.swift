// Attempts: begun, given slots, transmitted.

import DiskPort
import FlushCore
import HashTreeCollections
import Logging

extension SpoolQueue {
    /// What every server must take at once (RFC 5321, section 4.5.3.1.8). Who asks for more gets 452 for the others, whose next turn
    /// would come after a back-off, or with the next ETRN.
    private static let recipientsPerTransmission = 100

    /// Begins an attempt with these domains (nil: a report's recipient) and puts its parts into their lanes.
    ///
    /// The entry belongs to the attempt until `finish`. The caller calls `pump()` afterwards.
    func begin(_ id: QueueID, domains: [DomainName]?, flush: FlushID? = nil, unthrottle: Bool = false) {
        let attempt = Attempt(id: id, flush: flush, unthrottle: unthrottle, domains: domains)
        entries[id]?.activity = .attempt
        for (lane, part) in parts(of: attempt) {
            attempt.openParts += 1
            lanes.add(.part(part), to: lane)
        }
        if attempt.openParts == 0 {
            attempt.openParts = 1
            lanes.add(.part(Part(attempt: attempt, domains: [])), to: .nowhere(""))
        }
    }

    private func parts(of attempt: Attempt) -> [(Lane, Part)] {
        guard let domains = attempt.domains else {
            let lane = parameters.relayhost.map { usable($0) } ?? .nowhere("there is no relayhost for reports")
            return [(lane, Part(attempt: attempt, domains: nil))]
        }
        var parts: [(lane: Lane, part: Part)] = []
        for domain in domains {
            let lane = routes.route(for: domain).map { usable($0.nextHop) } ?? .nowhere("\(domain) belongs to no relay domain any more")
            if let known = parts.firstIndex(where: { $0.lane == lane }) {
                parts[known].part.domains?.append(domain)
            } else {
                parts.append((lane, Part(attempt: attempt, domains: [domain])))
            }
        }
        return parts
    }

    private func usable(_ hop: NextHop) -> Lane {
        hop.usesMX ? .nowhere("next hop \(hop) needs an MX lookup, which this queue cannot do; write it as [host]:port") : .hop(hop)
    }

    /// Gives free slots to whoever is next.
    func pump() {
        guard phase == .running else { return }
        while let (lane, work) = lanes.next() {
            guard let part = part(for: work, in: lane) else {
                lanes.finished(lane, answered: isAnswering(lane))
                continue
            }
            let number = nextTransmission
            nextTransmission += 1
            transmissions[number] = Task {
                await run(part, in: lane)
                transmissions[number] = nil
                lanes.finished(lane, answered: isAnswering(lane))
                pump()
                if transmissions.isEmpty { wakeIdleWaiters() }
            }
        }
    }

    /// Whether the last thing that is known of a lane's site is that it answered; where there is no site, there is nobody to wait for.
    private func isAnswering(_ lane: Lane) -> Bool {
        switch lane {
        case .hop(let hop): sites.isAnswering(hop)
        case .nowhere: true
        }
    }

    /// What a slot was taken for; a message that was due becomes an attempt now, whose part in this lane runs at once.
    private func part(for work: Work, in lane: Lane) -> Part? {
        switch work {
        case .part(let part): return part
        case .due(let id):
            guard let entry = entries[id], entry.activity == .inLine else { return nil }
            let attempt = Attempt(id: id, flush: nil, unthrottle: false, domains: entry.isReport ? nil : ownDomains(of: entry))
            entries[id]?.activity = .attempt
            if let entry = entries[id] { tell(.queued(queued(id, entry))) }
            var own: Part?
            for (other, part) in parts(of: attempt) {
                attempt.openParts += 1
                if other == lane { own = part } else { lanes.add(.part(part), to: other) }
            }
            if own == nil {
                // The route has changed while it waited, or only its end of life is due.
                own = Part(attempt: attempt, domains: [])
                attempt.openParts += 1
            }
            return own
        }
    }

    /// Carries a part out, and the attempt's end when it was the last.
    private func run(_ part: Part, in lane: Lane) async {
        let attempt = part.attempt
        if !attempt.isGone {
            switch obstacle(to: part, in: lane) {
            case let reason?: await postpone(part, reason: reason)
            case nil: if case .hop(let hop) = lane { await transmit(part, to: hop) }
            }
        }
        attempt.openParts -= 1
        if attempt.openParts == 0 { await finish(attempt) }
    }

    /// Why this part is not even tried.
    private func obstacle(to part: Part, in lane: Lane) -> String? {
        switch lane {
        case .nowhere(let reason): return reason
        case .hop(let hop):
            guard !part.attempt.unthrottle, let suspension = sites.suspension(of: hop, at: time.now) else { return nil }
            return Self.suspended(suspension.reason)
        }
    }

    static func suspended(_ reason: String) -> String { SpoolEnvelope.line("delivery temporarily suspended: \(reason)") }

    /// Counts the part's recipients as deferred, without an attempt and without a note in the history.
    private func postpone(_ part: Part, reason: String) async {
        guard part.domains?.isEmpty != true, let folder = entries[part.attempt.id]?.folder else { return }
        do throws(SpoolError) {
            let id = part.attempt.id
            let record = try await pool.run { [directory] () throws(SpoolError) in
                // Another part of the attempt may move the file meanwhile.
                do throws(SpoolError) { return try directory.load(id, in: folder) } catch {
                    guard error.isMissing, let place = directory.locate(id) else { throw error }
                    return try directory.load(id, in: place)
                }
            }
            note(record.envelope, in: part.attempt)
            for index in recipients(of: part) { _ = part.attempt.take(.deferred(reason: reason), for: index) }
        } catch { await trouble(error, with: part) }
    }

    private func transmit(_ part: Part, to hop: NextHop) async {
        let id = part.attempt.id
        guard let folder = entries[id]?.folder else { return }
        let message: OpenMessage
        let content: SpoolContent
        do throws(SpoolError) {
            (message, content) = try await pool.run { [directory, pool] () throws(SpoolError) in
                let message = try directory.openForDelivery(id, from: folder)
                return (message, try SpoolContent(message, pool: pool))
            }
        } catch { return await trouble(error, with: part) }
        if entries[id]?.folder == folder { entries[id]?.folder = .active }
        note(message.envelope, in: part.attempt)
        var left = recipients(of: part)[...]
        while !left.isEmpty {
            let tried = Array(left.prefix(Self.recipientsPerTransmission))
            left = left.dropFirst(tried.count)
            if let reason = await transmit(message, content.fromBeginning(), to: tried, of: part, at: hop) {
                for index in left { _ = part.attempt.take(.deferred(reason: reason), for: index) }
                return
            }
        }
    }

    /// - Returns: why no more of the message can be sent to this next hop now; nil when it can.
    private func transmit(
        _ message: OpenMessage, _ content: SpoolContent, to tried: [Int], of part: Part, at hop: NextHop
    ) async -> String? {
        let id = part.attempt.id
        let start = time.now
        let envelope = message.envelope
        let result = await deliver(
            Delivery(
                nextHop: hop, helo: parameters.myhostname, sender: envelope.sender,
                recipients: tried.map { envelope.recipients[$0].address }, content: content, size: envelope.size,
                isEightBit: envelope.body == .eightBit))
        if result.siteReached {
            part.attempt.siteAnswered = true
            sites.reached(hop, at: time.now)
        } else if !Task.isCancelled {
            sites.failed(
                hop, startedAt: start, now: time.now, for: parameters.minimalBackoffTime, reason: result.reason ?? "it cannot be reached")
            logger.notice("next hop not reached", metadata: ["queue_id": "\(id)", "next_hop": "\(hop)"])
        }
        await record(result, of: tried, in: message, attempt: part.attempt)
        let isUseless = result.outcomes.allSatisfy { if case .deferred = $0 { true } else { false } }
        return isUseless ? result.reason.map { SpoolEnvelope.line($0) } : nil
    }

    /// Takes the file's envelope for the attempt, with the outcomes that the disk has not taken.
    private func note(_ envelope: SpoolEnvelope, in attempt: Attempt) {
        guard attempt.envelope == nil else { return }
        attempt.envelope = merged(envelope)
    }

    func merged(_ envelope: SpoolEnvelope) -> SpoolEnvelope {
        guard let changes = unsynced[envelope.id] else { return envelope }
        var envelope = envelope
        for (index, status) in changes where envelope.recipients.indices.contains(index) { envelope.recipients[index].status = status }
        return envelope
    }

    /// The pending recipients that a part means, by index.
    private func recipients(of part: Part) -> [Int] {
        guard let envelope = part.attempt.envelope else { return [] }
        let meant = part.domains.map(Set.init)
        return envelope.recipients.indices.filter { index in
            let recipient = envelope.recipients[index]
            guard recipient.status == .pending else { return false }
            guard let meant else { return true }
            return SpoolEnvelope.domain(of: recipient.address).map(meant.contains) ?? false
        }
    }

    /// The file could not be opened: gone, damaged, or the disk fails.
    private func trouble(_ error: SpoolError, with part: Part) async {
        let attempt = part.attempt
        switch error {
        case .damaged(let detail):
            if let place = await locate(attempt.id) { attempt.isGone = await setAside(attempt.id, from: place, detail: detail) }
        case _ where error.isMissing:
            attempt.isGone = await locate(attempt.id) == nil
        default:
            logger.error("queue file cannot be opened for delivery", metadata: ["queue_id": "\(attempt.id)", "error": "\(error)"])
        }
        guard !attempt.isGone else { return }
        for domain in part.domains ?? [] {
            attempt.outcomes.append(DomainOutcome(domain: domain, deferred: 1, reason: "the queue file cannot be opened: \(error)"))
        }
    }
}
