//! A function's routes, written once: for its router and for its OpenAPI description.

/// Generates routes, router and description from a list of `method "path" => module::handler,`.
///
/// They are the constant `ROUTES` (method and path of each route), the router `routes()` over the function's `Deps`,
/// and the OpenAPI description `described()`. The function's crate must depend on axum and utoipa.
#[macro_export]
macro_rules! routes {
    (of $deps:ty; $($method:ident $path:literal => $($handler:ident)::+,)*) => {
        /// Method and path of each route.
        pub const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        pub(crate) fn routes() -> ::axum::Router<::std::sync::Arc<$deps>> {
            ::axum::Router::new()$(.route($path, ::axum::routing::$method($($handler)::+)))*
        }

        #[derive(::utoipa::OpenApi)]
        #[openapi(paths($($($handler)::+),*))]
        struct Described;

        /// Returns the OpenAPI description of the routes.
        #[must_use]
        pub fn described() -> ::utoipa::openapi::OpenApi {
            <Described as ::utoipa::OpenApi>::openapi()
        }
    };
}
