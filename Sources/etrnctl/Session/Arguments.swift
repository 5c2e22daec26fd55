// Names and IDs as arguments: checked before anybody is asked.

import ArgumentParser
import FlushCore

struct DomainArgument: ExpressibleByArgument {
    var domain: DomainName

    init?(argument: String) {
        guard let domain = DomainName(argument) else { return nil }
        self.domain = domain
    }
}

struct QueueIDArgument: ExpressibleByArgument {
    var id: QueueID

    init?(argument: String) {
        guard let id = QueueID(argument) else { return nil }
        self.id = id
    }
}

struct FlushIDArgument: ExpressibleByArgument {
    var id: FlushID

    init?(argument: String) {
        guard let id = FlushID(argument) else { return nil }
        self.id = id
    }
}

extension Flush.State: ExpressibleByArgument {}
extension RelayDomain.Delivery: ExpressibleByArgument {}
extension RelayDomain.State: ExpressibleByArgument {}
