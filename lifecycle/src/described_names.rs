/// Declares an enum of names that are part of an interface and stay: each variant with its name and its description.
#[macro_export]
macro_rules! described_names {
    ($(#[$about:meta])+ pub enum $type:ident { $($variant:ident $name:literal $description:literal;)+ }) => {
        $(#[$about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $(#[doc = $description] $variant,)+
        }

        impl $type {
            /// Every one of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name in the interface.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it means: one or two sentences in Markdown.
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $description,)+
                }
            }
        }
    };
}

pub(crate) use described_names;
