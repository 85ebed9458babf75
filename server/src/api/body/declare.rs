/// Declares an object of a body. Each field is declared once: its type determines the valid values, and its doc comment
/// and example go into the description of the API.
///
/// `check` names a function for rules that concern several fields.
macro_rules! body {
    (
        $(#[doc = $about:literal])+
        #[body(name = $name:literal, unknown_fields = $unknown:ident $(, check = $check:path)?)]
        $(#[derive($($derive:ident),+)])?
        $visibility:vis struct $object:ident {
            $($(#[doc = $doc:literal])+ $(#[example = $example:expr])? $field:ident: $type:ty,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug $($(, $derive)+)?)]
        $visibility struct $object {
            $($(#[doc = $doc])+ $field: $type,)+
        }

        impl $crate::api::body::Object for $object {
            const NAME: &'static str = $name;
            const UNKNOWN_FIELDS: $crate::api::body::UnknownFields = $crate::api::body::UnknownFields::$unknown;

            fn field_names() -> Vec<String> {
                vec![$(stringify!($field).to_owned()),+]
            }

            fn read_fields(fields: &mut $crate::api::body::Fields<'_, '_>) -> Option<Self> {
                $(let $field = fields.read::<$type>(stringify!($field));)+
                $($check(fields);)?
                Some(Self { $($field: $field?),+ })
            }

            fn describe() -> utoipa::openapi::schema::ObjectBuilder {
                let object = $crate::api::body::without_fields(Self::UNKNOWN_FIELDS, &[$($about),+]);
                $(
                    let example = $crate::api::body::body!(@example $($example)?);
                    let object = $crate::api::body::add_field::<$type>(object, stringify!($field), &[$($doc),+], example);
                )+
                object
            }

            fn add_field_schemas(schemas: &mut $crate::api::body::Schemas) {
                $(<$type as $crate::api::body::Value>::add_schemas(schemas);)+
            }
        }

        $crate::api::body::object_value!($object);
    };
    (@example) => {
        None
    };
    (@example $example:expr) => {
        Some(serde_json::json!($example))
    };
}

/// Implements [`Value`](super::Value) and the schema of a request body for an [`Object`](super::Object).
macro_rules! object_value {
    ($object:ty) => {
        impl $crate::api::body::Value for $object {
            fn expected(_: &$crate::api::body::Limits) -> std::borrow::Cow<'static, str> {
                let names = <Self as $crate::api::body::Object>::field_names();
                format!("an object with the fields {}", names.join(", ")).into()
            }

            fn read(
                json: &serde_json::value::RawValue,
                place: $crate::api::body::Place<'_>,
                check: &mut $crate::api::body::Check<'_>,
            ) -> Option<Self> {
                $crate::api::body::read_object(json, place, check)
            }

            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::Ref::from_schema_name(<Self as $crate::api::body::Object>::NAME).into()
            }

            fn add_schemas(schemas: &mut $crate::api::body::Schemas) {
                let name = <Self as $crate::api::body::Object>::NAME;
                schemas.push((name.to_owned(), <Self as utoipa::PartialSchema>::schema()));
                <Self as $crate::api::body::Object>::add_field_schemas(schemas);
            }
        }

        impl utoipa::PartialSchema for $object {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                <Self as $crate::api::body::Object>::describe().into()
            }
        }

        impl utoipa::ToSchema for $object {
            fn name() -> std::borrow::Cow<'static, str> {
                <Self as $crate::api::body::Object>::NAME.into()
            }

            fn schemas(schemas: &mut $crate::api::body::Schemas) {
                <Self as $crate::api::body::Object>::add_field_schemas(schemas);
            }
        }
    };
}

pub(in crate::api) use {body, object_value};
