// etrn-postqueue: the three acts of postqueue(1) that ask for delivery, for scripts that know nothing else.

import ArgumentParser
import FlushClient
import FlushCore

/// Exits as postqueue does: 0 asked for; 64 bad usage or a bad name; 69 not available, or refused.
struct PostqueueCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "etrn-postqueue",
        abstract: "Ask for delivery, in postqueue's words.",
        discussion: "The daemon is found as etrnctl finds it: ETRND_URL, else the local socket; ETRND_TOKEN_FILE.")

    @Option(name: .short, help: ArgumentHelp("Deliver what waits for this site.", valueName: "site"))
    var site: String?

    @Option(name: .customShort("i"), help: ArgumentHelp("Deliver this message.", valueName: "queue-id"))
    var message: String?

    @Flag(name: .customShort("f"), help: "Deliver everything.")
    var flush = false

    func validate() throws {
        guard (site == nil ? 0 : 1) + (message == nil ? 0 : 1) + (flush ? 1 : 0) == 1 else {
            throw ValidationError("Give one of -s site, -i queue-id and -f.")
        }
    }

    func run() async throws {
        do {
            try await ConnectionOptions.parse([]).run { client in
                let wanted = try selector()
                do throws(FlushClientError) { _ = try await client.flush(wanted) } catch {
                    // postqueue's caller cannot tell a refusal from a service that is down.
                    throw Failure(.unavailable, error.description)
                }
            }
        } catch let code as ExitCode where code.rawValue != ExitStatus.usage.rawValue {
            throw ExitCode(ExitStatus.unavailable.rawValue)
        }
    }

    private func selector() throws -> FlushSelector {
        if let site {
            do { return .domain(try DomainName(parsing: site), subdomains: false) } catch {
                throw Failure(.usage, "invalid domain name \(site.debugDescription): \(error)")
            }
        }
        if let message {
            guard let id = QueueID(message) else { throw Failure(.usage, "invalid queue ID \(message.debugDescription)") }
            return .message(id)
        }
        return .everything
    }
}
