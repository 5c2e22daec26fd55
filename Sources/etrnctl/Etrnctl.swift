// The command's verbs at a glance.

import ArgumentParser

struct Etrnctl: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "etrnctl",
        abstract: "Ask etrnd for a site's mail, and see what waits.",
        discussion: """
            Talks to the daemon over its UNIX socket unless --url or ETRND_URL names another server. Exit status: 0 done; 64 wrong usage; \
            65 refused, or no such thing; 69 no daemon there; 75 try again later, or mail still waits; 77 not permitted; 78 wrong configuration.
            """,
        version: "0.1.0",
        groupedSubcommands: [
            CommandGroup(name: "Flushing", subcommands: [FlushCommand.self, FlushesCommand.self, CancelCommand.self]),
            CommandGroup(
                name: "Mail",
                subcommands: [
                    DomainsCommand.self, DomainCommand.self, MessagesCommand.self, MessageCommand.self, RemoveCommand.self, BouncesCommand.self,
                ]),
            CommandGroup(name: "Provisioning", subcommands: [RelayDomainCommand.self]),
            CommandGroup(name: "Service", subcommands: [StatusCommand.self, PolicyCommand.self, ConfigCommand.self, GatewayCommand.self]),
        ])
}
