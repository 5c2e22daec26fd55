// Asks the daemon about the domain.

import FlushClient
import FlushCore
import FlushWire

/// What the daemon knows of one domain.
struct DomainExamination {
    /// Enough to see whether mail is on hold.
    private static let messagesLooked = 100

    let client: APIClient
    let domain: DomainName

    /// What a name on the command line means.
    static func name(_ text: String) -> DomainFacts.Name {
        if text.hasPrefix("[") { return .addressLiteral(text) }
        do { return .good(try DomainName(parsing: text)) } catch {
            let isAddress = error == .numeric || text.contains(":")
            return isAddress ? .addressLiteral(text) : .invalid(text, reason: "\(error)")
        }
    }

    func look() async -> DomainFacts.Record {
        var record = DomainFacts.Record(preview: await preview())
        record.summary = try? await client.domain(domain)?.summary
        if let page = try? await client.messages(for: domain, limit: Self.messagesLooked) {
            record.places.looked = page.items.count
            record.places.held = page.items.count { $0.place == .held }
            record.places.inDelivery = page.items.count { $0.place == .inDelivery }
        }
        if let id = record.summary?.lastFlush?.id { record.lastFlush = try? await client.flush(id) }
        record.relayDomain = await covering()
        return record
    }

    private func preview() async -> DomainFacts.Record.Preview {
        var options = APIClient.FlushOptions()
        options.dryRun = true
        do throws(FlushClientError) {
            return .flush(try await client.flush(.domain(domain, subdomains: false), options))
        } catch {
            return .refused(FlushError(error))
        }
    }

    /// A relay domain covers its subdomains: the nearest one counts.
    private func covering() async -> RelayDomain? {
        var next: DomainName? = domain
        while let name = next {
            if let relayDomain = try? await client.relayDomain(name) { return relayDomain }
            next = name.parent
        }
        return nil
    }
}
