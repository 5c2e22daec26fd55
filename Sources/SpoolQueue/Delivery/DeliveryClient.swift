// Hands a message to a next hop, and tells the truth about each recipient.

import CurlTransport
import FlushCore

/// One message for one next hop.
package struct Delivery: Sendable {
    package var nextHop: NextHop
    /// Our name in EHLO.
    package var helo: String
    /// Empty for the null sender.
    package var sender: String
    package var recipients: [String]
    /// Read from its beginning, at most once.
    package var content: any CurlUpload
    /// The content's exact length in bytes.
    package var size: Int
    /// The content has bytes above 127.
    package var isEightBit = false
}

/// What became of a recipient. The text is one line of at most 500 bytes without control characters.
package enum RecipientOutcome: Sendable, Equatable {
    /// The next hop has taken it over.
    case delivered(reply: String)
    /// Still ours; whatever is not certain is this.
    case deferred(reason: String)
    /// Refused for good.
    case bounced(reply: String)
}

package struct DeliveryResult: Sendable, Equatable {
    /// In the order of the delivery's recipients.
    package var outcomes: [RecipientOutcome]
    /// A greeting and an answer to EHLO were received: the site is up, even if it refused. Also true when nothing was tried because the
    /// addresses cannot be said: nothing speaks against the site.
    package var siteReached: Bool
    /// What stopped the delivery as a whole; nil when nothing did.
    package var reason: String?

    package init(outcomes: [RecipientOutcome], siteReached: Bool, reason: String? = nil) {
        self.outcomes = outcomes
        self.siteReached = siteReached
        self.reason = reason
    }
}

/// The spool's client for SMTP.
public struct DeliveryClient: Sendable {
    private let curl: CurlMulti
    private let adjust: @Sendable (inout CurlTransfer) -> Void

    /// - Parameter curl: lets as many transfers run as the spool's `delivery_concurrency`.
    public init(curl: CurlMulti) { self.init(curl: curl, adjust: { _ in }) }

    /// - Parameter adjust: changes a transfer before it starts; for tests that do not want to wait for minutes.
    init(curl: CurlMulti, adjust: @escaping @Sendable (inout CurlTransfer) -> Void) {
        self.curl = curl
        self.adjust = adjust
    }

    /// Tries to deliver, once. Cancelling the task defers every recipient without a decisive reply.
    func deliver(_ delivery: Delivery) async -> DeliveryResult {
        guard !delivery.nextHop.usesMX else {
            return Self.all(delivery, .deferred(reason: "next hop \(delivery.nextHop) needs an MX look-up, which the spool does not do"))
        }
        if !delivery.sender.isEmpty, let defect = Self.defect(of: delivery.sender) {
            return Self.all(delivery, .bounced(reply: "5.1.7 the sender's address \(defect)"))
        }
        var outcomes = delivery.recipients.map { recipient in
            Self.defect(of: recipient).map { RecipientOutcome.bounced(reply: "5.1.3 the recipient's address \($0)") }
        }
        let sendable = outcomes.indices.filter { outcomes[$0] == nil }
        var result = DeliveryResult(outcomes: [], siteReached: true)
        if !sendable.isEmpty {
            let (transcript, told) = await transmit(delivery, to: sendable.map { delivery.recipients[$0] })
            for (index, outcome) in zip(sendable, told) { outcomes[index] = outcome }
            result.siteReached = transcript.siteReached
            result.reason = transcript.reason
        }
        result.outcomes = outcomes.map { $0 ?? .deferred(reason: "no outcome is known") }
        return result
    }

    private func transmit(_ delivery: Delivery, to recipients: [String]) async -> (DeliveryTranscript, [RecipientOutcome]) {
        var transfer = CurlTransfer(
            host: delivery.nextHop.host, port: delivery.nextHop.port, heloName: delivery.helo, sender: delivery.sender, recipients: recipients,
            content: delivery.content, size: delivery.size)
        transfer.isEightBit = delivery.isEightBit
        adjust(&transfer)

        var result = await curl.perform(transfer)
        if Self.wasStale(result), !Task.isCancelled {
            transfer.mayReuseConnection = false
            result = await curl.perform(transfer)
        }
        if Self.failedToEncrypt(result), transfer.tls == .opportunistic, !Task.isCancelled {
            // As opportunistic TLS has it: a server whose TLS is broken gets its mail in plain text rather than not at all.
            transfer.tls = .never
            result = await curl.perform(transfer)
        }
        let transcript = DeliveryTranscript(result, host: delivery.nextHop.host, port: delivery.nextHop.port)
        return (transcript, transcript.outcomes(recipients: recipients.count))
    }

    /// A kept connection that the server had given up: no command of ours was accepted, so nothing can be sent twice.
    static func wasStale(_ result: CurlResult) -> Bool {
        guard result.reusedConnection, !result.exchanges.contains(where: { $0.step == .mail && $0.code / 100 == 2 }) else { return false }
        return result.ending == .lost || result.responseCode == 421
    }

    /// The server agreed to STARTTLS, and no EHLO was answered after that.
    static func failedToEncrypt(_ result: CurlResult) -> Bool {
        switch result.ending {
        case .notOpened, .lost, .timedOut: result.exchanges.last.map { $0.step == .startTLS && $0.code == 220 } ?? false
        case .completed, .malformedReply, .uploadFailed, .invalid, .cancelled, .noResources: false
        }
    }

    /// Why an address can never be delivered; nil when it can.
    private static func defect(of address: String) -> String? {
        guard address.utf8.allSatisfy({ $0 < 0x80 }) else { return "has characters outside ASCII, for which SMTPUTF8 would be needed (5.6.7)" }
        return CurlTransfer.isSafeAddress(address) ? nil : "cannot be written in SMTP"
    }

    private static func all(_ delivery: Delivery, _ outcome: RecipientOutcome) -> DeliveryResult {
        let reason =
            switch outcome {
            case .delivered: String?.none
            case .deferred(let text), .bounced(let text): text
            }
        return DeliveryResult(outcomes: delivery.recipients.map { _ in outcome }, siteReached: true, reason: reason)
    }
}
