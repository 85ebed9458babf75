/// Declares the parameters of a query. Each parameter is declared once: its type determines the valid values, and its doc
/// comment and default go into the description of the API. The type is an `Option` if there is no default.
macro_rules! parameters {
    (
        $(#[doc = $about:literal])+
        $visibility:vis struct $parameters:ident {
            $($(#[doc = $doc:literal])+ $name:ident: $type:ty $(= $default:expr)?,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug)]
        $visibility struct $parameters {
            $($(#[doc = $doc])+ $name: $type,)+
        }

        impl $crate::api::query::Parameters for $parameters {
            fn read(pairs: &mut $crate::api::query::Pairs<'_>) -> Self {
                Self {
                    $($name: $crate::api::query::parameters!(@or pairs.read(stringify!($name)) $(, $default)?),)+
                }
            }
        }

        impl utoipa::IntoParams for $parameters {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                vec![$({
                    let default = $crate::api::query::parameters!(@json $type $(= $default)?);
                    $crate::api::query::describe::<$type>(stringify!($name), &[$($doc),+], default)
                }),+]
            }
        }
    };
    (@or $read:expr) => {
        $read
    };
    (@or $read:expr, $default:expr) => {
        $read.unwrap_or($default)
    };
    (@json $type:ty) => {
        None
    };
    (@json $type:ty = $default:expr) => {{
        let default: $type = $default;
        Some(serde_json::json!(default))
    }};
}

pub(in crate::api) use parameters;
