//! Against `oidc-provider`, a certified provider.
