//! A function's routes, written once: for its router and for the description.

/// Makes of a list of `method "path" => room::handler,` the `ROUTES` (method and path of each), the router `routes()` over
/// the function's `Deps`, and what `described()` tells of them. The function has axum and utoipa among its dependencies.
#[macro_export]
macro_rules! routes {
    (of $deps:ty; $($method:ident $path:literal => $room:ident::$handler:ident,)*) => {
        /// Method and path of each.
        pub const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        pub(crate) fn routes() -> ::axum::Router<::std::sync::Arc<$deps>> {
            ::axum::Router::new()$(.route($path, ::axum::routing::$method($room::$handler)))*
        }

        #[derive(::utoipa::OpenApi)]
        #[openapi(paths($($room::$handler),*))]
        struct Described;

        /// What each takes and answers.
        #[must_use]
        pub fn described() -> ::utoipa::openapi::OpenApi {
            <Described as ::utoipa::OpenApi>::openapi()
        }
    };
}
