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
            name: "CurlTransport",
            dependencies: ["DispatchSockets", "CCurl", .product(name: "DequeModule", package: "swift-collections")],
            swiftSettings: strict),

        // How it is said and kept.
        .target(
            name: "HTTPServer",
            dependencies: ["DispatchSockets", "JSONText", .product(name: "HTTPTypes", package: "swift-http-types")],
            swiftSettings: strict),
        .target(name: "SMTPServer", dependencies: ["DispatchSockets"], swiftSettings: strict + staysPut),
        .target(
            name: "FlushStorage",
            dependencies: [
                "FlushCore", "DispatchSockets",
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
            swiftSettings: strict),
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
                "FlushCore", "SMTPServer", "CurlTransport", "DispatchSockets",
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
            name: "SMTPServerTests", dependencies: ["SMTPServer", "DispatchSockets", "SocketTesting"], swiftSettings: strict),
        .testTarget(
            name: "FlushStorageTests",
            dependencies: [
                "FlushStorage", "FlushCore", "FlushTesting", "DispatchSockets",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "PostfixQueueTests",
            dependencies: [
                "PostfixQueue", "FlushCore", "FlushTesting", "DispatchSockets",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "SpoolQueueTests",
            dependencies: ["SpoolQueue", "FlushCore", "FlushTesting", "SMTPServer", "CurlTransport", "DispatchSockets", "SocketTesting"],
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
    ]
)
