// The contract, served as it was when this was built.

import HTTPServer

enum Contract {
    static let response = Response(contentType: "application/yaml", body: .bytes(PackageResources.openapi_yaml))
}
