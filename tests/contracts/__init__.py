"""What other programs rely on: messages, subjects, AsyncAPI, OpenAPI, canvases and guides.

Examples of every message are in `golden/`; a change there is a change of the contract.
No behaviour of a service here, only the form of what it takes and gives.
"""
