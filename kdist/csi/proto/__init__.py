"""Generated messages of csi.proto and registration.proto (``python -m grpc_tools.protoc``); not to be edited."""
