// swift-tools-version: 6.2
// etrnd: a fast ETRN service. The targets and their arrows are explained in docs/architecture.md;
// `make check` compares every import line with that page.
import PackageDescription

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]
/// Where functions stay on the executor of their caller, which is the loop: each would else be taken to another one, and back again.
let staysPut: [SwiftSetting] = [.enableUpcomingFeature("NonisolatedNonsendingByDefault")]

let package = Package(
    name: "etrnd",
    products: [
        .executable(name: "etrnctl", targets: ["etrnctl"]),
        .executable(name: "etrnd", targets: ["etrnd"]),
        // For Benchmarks/flush/core, which measures them without a socket between.
        .library(name: "FlushLibraries", targets: ["DispatchSockets", "FlushCore", "FlushStorage", "FlushTesting"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    ],
    targets: [
        // Ground: sockets, curl, meaning.
        .target(
            name: "FlushCore",
            dependencies: ["CIDN2", .product(name: "DequeModule", package: "swift-collections")],
            swiftSettings: strict),
        .target(name: "JSONText", swiftSettings: strict),
        .target(name: "DispatchSockets", dependencies: ["CLinux"], swiftSettings: strict),
        .target(
            name: "DiskPort",
            dependencies: ["DispatchSockets", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: strict),
        .target(
            name: "CurlTransport",
            dependencies: ["DispatchSockets", "CCurl", .product(name: "DequeModule", package: "swift-collections")],
            swiftSettings: strict),

        // How it is said and kept.
        .target(
            name: "HTTPServer",
            dependencies: ["DispatchSockets", "JSONText", .product(name: "HTTPTypes", package: "swift-http-types")],
            swiftSettings: strict + staysPut),
        .target(name: "SMTPServer", dependencies: ["DispatchSockets"], swiftSettings: strict + staysPut),
        .target(
            name: "FlushStorage",
            dependencies: [
                "FlushCore", "DiskPort", "DispatchSockets",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(name: "Configuration", swiftSettings: strict),
        .target(name: "FlushWire", dependencies: ["FlushCore", "JSONText"], swiftSettings: strict),

        // What we do for whom.
        .target(
            name: "ControlAPI",
            dependencies: [
                "FlushCore", "FlushWire", "HTTPServer", "DispatchSockets", "JSONText",
                .product(name: "HTTPTypes", package: "swift-http-types"),
            ],
            resources: [.embedInCode("openapi.yaml"), .embedInCode("status.html")],
            swiftSettings: strict + staysPut),
        .target(
            name: "FlushClient",
            dependencies: ["FlushCore", "FlushWire", "CurlTransport", "DispatchSockets", "JSONText"],
            swiftSettings: strict),
        .target(name: "ETRNGateway", dependencies: ["FlushCore", "SMTPServer", "DispatchSockets"], swiftSettings: strict + staysPut),
        .target(
            name: "PostfixQueue",
            dependencies: [
                "FlushCore", "DispatchSockets",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(
            name: "SpoolQueue",
            dependencies: [
                "FlushCore", "SMTPServer", "CurlTransport", "DiskPort", "DispatchSockets",
                .product(name: "HashTreeCollections", package: "swift-collections"),
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),

        .target(
            name: "Doctor",
            dependencies: ["CLinux", "Configuration", "DispatchSockets", "FlushClient", "FlushCore", "FlushWire", "PostfixQueue"],
            swiftSettings: strict),

        .target(name: "CommandText", dependencies: ["FlushCore", "FlushWire"], swiftSettings: strict),

        // Wiring and commands.
        .executableTarget(
            name: "etrnctl",
            dependencies: [
                "CommandText", "Configuration", "CurlTransport", "DispatchSockets", "ETRNGateway", "FlushClient", "FlushCore", "FlushWire",
                "JSONText", "SMTPServer",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "etrnd",
            dependencies: [
                "Configuration", "ControlAPI", "CurlTransport", "DispatchSockets", "Doctor", "ETRNGateway", "FlushCore", "FlushStorage",
                "FlushWire", "HTTPServer", "PostfixQueue", "SMTPServer", "SpoolQueue",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),

        // C shims: one folder per library, nothing but what Swift cannot say.
        .target(name: "CCurl", dependencies: ["CCurlLibrary"]),
        .systemLibrary(name: "CCurlLibrary", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .target(name: "CLinux"),
        .systemLibrary(name: "CIDN2", pkgConfig: "libidn2", providers: [.apt(["libidn2-dev"])]),

        // Fakes and contract suites, and the suites themselves.
        .target(name: "FlushTesting", dependencies: ["FlushCore"], swiftSettings: strict),
        .target(name: "SocketTesting", dependencies: ["DispatchSockets"], swiftSettings: strict),
        .target(
            name: "Simulation",
            dependencies: [
                "CurlTransport", "DiskPort", "DispatchSockets", "FlushCore", "FlushStorage", "FlushTesting", "SMTPServer", "SpoolQueue",
                .product(name: "SystemPackage", package: "swift-system"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "simulate",
            dependencies: ["Simulation", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),
        .testTarget(
            name: "FlushCoreTests", dependencies: ["FlushCore", "FlushTesting"], swiftSettings: strict),
        .testTarget(name: "ConfigurationTests", dependencies: ["Configuration"], swiftSettings: strict),
        .testTarget(name: "DispatchSocketsTests", dependencies: ["DispatchSockets"], swiftSettings: strict),
        .testTarget(
            name: "CurlTransportTests", dependencies: ["CurlTransport", "DispatchSockets", "SocketTesting"], swiftSettings: strict),
        .testTarget(
            name: "HTTPServerTests",
            dependencies: [
                "HTTPServer", "DispatchSockets", "SocketTesting", .product(name: "HTTPTypes", package: "swift-http-types"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SMTPServerTests", dependencies: ["SMTPServer", "DispatchSockets", "SocketTesting"], swiftSettings: strict + staysPut),
        .testTarget(
            name: "FlushStorageTests",
            dependencies: [
                "FlushStorage", "FlushCore", "FlushTesting", "DispatchSockets",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SimulationTests", dependencies: ["Simulation", "simulate", "DiskPort", "FlushCore", "FlushTesting"], swiftSettings: strict),
        .testTarget(
            name: "PostfixQueueTests",
            dependencies: [
                "PostfixQueue", "FlushCore", "FlushTesting", "DispatchSockets",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SpoolQueueTests",
            dependencies: [
                "SpoolQueue", "FlushCore", "FlushTesting", "SMTPServer", "CurlTransport", "DiskPort", "DispatchSockets", "SocketTesting",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "DoctorTests",
            dependencies: ["Doctor", "Configuration", "DispatchSockets", "FlushCore", "PostfixQueue"],
            swiftSettings: strict),
        .testTarget(
            name: "ETRNGatewayTests",
            dependencies: ["ETRNGateway", "FlushCore", "FlushTesting", "SMTPServer", "DispatchSockets", "SocketTesting"],
            swiftSettings: strict),
        .testTarget(
            name: "FlushClientTests",
            dependencies: [
                "FlushClient", "ControlAPI", "CurlTransport", "DispatchSockets", "FlushCore", "FlushWire", "FlushTesting", "HTTPServer", "JSONText",
                "SocketTesting",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "CommandTextTests", dependencies: ["CommandText", "FlushCore", "FlushTesting", "FlushWire"], swiftSettings: strict),
        .testTarget(
            name: "ControlAPITests",
            dependencies: [
                "ControlAPI", "DispatchSockets", "FlushCore", "FlushWire", "FlushTesting", "HTTPServer",
                .product(name: "HTTPTypes", package: "swift-http-types"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "FuzzTests",
            dependencies: [
                "Configuration", "CurlTransport", "DiskPort", "DispatchSockets", "ETRNGateway", "FlushCore", "FlushStorage", "FlushTesting",
                "FlushWire", "HTTPServer", "JSONText", "PostfixQueue", "SMTPServer", "SpoolQueue",
                .product(name: "HTTPTypes", package: "swift-http-types"),
            ],
            exclude: ["Driver"],
            swiftSettings: strict),
    ]
)

// Tools/fuzz builds the parsers with libFuzzer's coverage and the address sanitizer, and of the properties that FuzzTests holds to
// them a program. The other targets, the database and what only they need stay out of that build.
if Context.environment["ETRND_FUZZ"] == "1" {
    let watch = ["-sanitize=fuzzer,address"]
    let parsers: Set = [
        "Configuration", "CurlTransport", "DiskPort", "DispatchSockets", "ETRNGateway", "FlushCore", "FlushStorage", "FlushWire", "HTTPServer",
        "JSONText", "PostfixQueue", "SMTPServer", "SpoolQueue",
    ]
    let shims: Set = ["CCurl", "CCurlLibrary", "CIDN2", "CLinux"]
    package.products = []
    package.targets.removeAll { !parsers.contains($0.name) && !shims.contains($0.name) }
    for target in package.targets where parsers.contains(target.name) {
        target.swiftSettings = (target.swiftSettings ?? []) + [.unsafeFlags(watch)]
        if target.name == "FlushStorage" {
            target.sources = ["Logs", "StateDirectory.swift"]
            target.dependencies.removeAll { "\($0)".contains("GRDB") }
        }
    }
    package.targets += [
        .target(name: "CLibFuzzer", path: "Fuzz/CLibFuzzer"),
        .executableTarget(
            name: "Fuzzer",
            dependencies: ["CLibFuzzer", .product(name: "HTTPTypes", package: "swift-http-types")]
                + parsers.sorted().map { .init(stringLiteral: $0) },
            path: "Tests/FuzzTests",
            sources: ["Driver", "Properties"],
            swiftSettings: strict,
            // gold cannot link the address sanitizer.
            linkerSettings: [.unsafeFlags(watch + ["-use-ld=lld"])]),
    ]
}
