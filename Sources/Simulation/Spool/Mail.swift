// What was sent into the world of the spool, and what became of it.

import FlushCore

/// A message as its client knows it, with what the sites know of it.
struct Mail {
    var number: Int
    var sender: String
    var recipients: [String]
    var content: [UInt8]
    /// The client was told 250.
    var isAccepted = false
    /// The spool's name for it, when the client was told.
    var id: String?
    /// How often each recipient's site has taken it over.
    var deliveries: [String: Int] = [:]
    /// Recipients whose site has taken it over, and of whom the spool has not yet told that it knows.
    var inTransmission: Set<String> = []
    /// How often each may be delivered again: as often as a crash came in its transmission.
    var repetitions: [String: Int] = [:]
}

/// All mail of a story.
// @unchecked: the simulation has one thread.
final class Ledger: @unchecked Sendable {
    private(set) var mails: [Mail] = []
    private var numbers: [String: Int] = [:]
    /// Reports as they reached their readers.
    var reports: [[UInt8]] = []
    /// Names of messages that somebody took out of the queue.
    var takenAway: Set<String> = []
    var problem: String?

    func add(sender: String, domains: [DomainName], size: Int) -> Mail {
        let number = mails.count
        let recipients = domains.enumerated().map { "u\(number)i\($0)@\($1)" }
        let line = "A line of message \(number).\r\n"
        var content = "Subject: message \(number)\r\n\r\n"
        while content.utf8.count < size { content += line }
        let mail = Mail(number: number, sender: sender, recipients: recipients, content: Array(content.utf8))
        mails.append(mail)
        for recipient in recipients { numbers[recipient] = number }
        return mail
    }

    func change(_ number: Int, _ body: (inout Mail) -> Void) { body(&mails[number]) }

    func change(id: String, _ body: (inout Mail) -> Void) {
        guard let number = mails.firstIndex(where: { $0.id == id }) else { return }
        body(&mails[number])
    }

    /// A site takes over a message.
    func delivered(_ recipient: String, _ content: [UInt8]) {
        guard let number = numbers[recipient] else {
            problem = "mail for \(recipient), to whom nobody has written"
            return
        }
        if !content.starts(with: "Received: ".utf8) || !content.suffix(mails[number].content.count).elementsEqual(mails[number].content) {
            problem = "\(recipient) got other mail than was sent"
        }
        mails[number].deliveries[recipient, default: 0] += 1
        mails[number].inTransmission.insert(recipient)
    }

    /// The spool has told of the end of an attempt.
    func settled(id: String) { change(id: id) { $0.inTransmission = [] } }

    /// The process has died.
    func crashed(mayForgetAll: Bool) {
        for number in mails.indices {
            let repeated = mayForgetAll ? Set(mails[number].deliveries.keys) : mails[number].inTransmission
            for recipient in repeated { mails[number].repetitions[recipient, default: 0] += 1 }
            mails[number].inTransmission = []
        }
    }
}
