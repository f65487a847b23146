//! The namespaces that are understood, and the prefixes under which they are written.

macro_rules! namespaces {
    ($($(#[$doc:meta])* $name:ident $prefix:literal $uri:literal,)*) => {
        /// A namespace.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Ns {
            /// None at all.
            None,
            /// One that nothing here understands.
            Other,
            $($(#[$doc])* $name,)*
        }

        impl Ns {
            /// All that are understood.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The one of a URI.
            pub fn of(uri: &str) -> Self {
                match uri {
                    "" => Self::None,
                    $($uri => Self::$name,)*
                    _ => Self::Other,
                }
            }

            /// Its URI; empty if it is not one that is understood.
            pub const fn uri(self) -> &'static str {
                match self {
                    Self::None | Self::Other => "",
                    $(Self::$name => $uri,)*
                }
            }

            /// The prefix under which answers write it.
            pub const fn prefix(self) -> &'static str {
                match self {
                    Self::None | Self::Other => "",
                    $(Self::$name => $prefix,)*
                }
            }
        }
    };
}

namespaces! {
    /// SOAP 1.2 envelope.
    Soap "env" "http://www.w3.org/2003/05/soap-envelope",
    /// SOAP 1.1 envelope, which is told that it is another version.
    Soap11 "env11" "http://schemas.xmlsoap.org/soap/envelope/",
    /// WS-Addressing 1.0.
    Wsa "wsa" "http://www.w3.org/2005/08/addressing",
    /// WS-Addressing of August 2004, which WS-Discovery uses.
    Wsa2004 "wsad" "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    /// WS-Discovery of April 2005.
    Wsd "d" "http://schemas.xmlsoap.org/ws/2005/04/discovery",
    /// Types of WS-Discovery, ONVIF Network Video Transmitter.
    Dn "dn" "http://www.onvif.org/ver10/network/wsdl",
    /// WS-Security extensions.
    Wsse "wsse" "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd",
    /// WS-Security utilities.
    Wsu "wsu" "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd",
    /// WS-BaseNotification 1.3.
    Wsnt "wsnt" "http://docs.oasis-open.org/wsn/b-2",
    /// WS-Topics 1.3.
    Wstop "wstop" "http://docs.oasis-open.org/wsn/t-1",
    /// WS-ResourceFramework base faults.
    Wsrf "wsrfbf" "http://docs.oasis-open.org/wsrf/bf-2",
    /// WS-ResourceFramework resources and their faults.
    Wsrfrw "wsrfrw" "http://docs.oasis-open.org/wsrf/rw-2",
    /// ONVIF error codes.
    Ter "ter" "http://www.onvif.org/ver10/error",
    /// ONVIF types.
    Tt "tt" "http://www.onvif.org/ver10/schema",
    /// ONVIF topics.
    Tns1 "tns1" "http://www.onvif.org/ver10/topics",
    /// ONVIF device service.
    Tds "tds" "http://www.onvif.org/ver10/device/wsdl",
    /// ONVIF media service 1.
    Trt "trt" "http://www.onvif.org/ver10/media/wsdl",
    /// ONVIF media service 2.
    Tr2 "tr2" "http://www.onvif.org/ver20/media/wsdl",
    /// ONVIF event service.
    Tev "tev" "http://www.onvif.org/ver10/events/wsdl",
    /// ONVIF imaging service.
    Timg "timg" "http://www.onvif.org/ver20/imaging/wsdl",
    /// ONVIF PTZ service.
    Tptz "tptz" "http://www.onvif.org/ver20/ptz/wsdl",
    /// ONVIF device IO service.
    Tmd "tmd" "http://www.onvif.org/ver10/deviceIO/wsdl",
    /// XML Schema.
    Xs "xs" "http://www.w3.org/2001/XMLSchema",
    /// XML Schema in instances.
    Xsi "xsi" "http://www.w3.org/2001/XMLSchema-instance",
    /// XML itself.
    Xml "xml" "http://www.w3.org/XML/1998/namespace",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_and_prefixes_are_unique() {
        for (i, a) in Ns::ALL.iter().enumerate() {
            assert_eq!(Ns::of(a.uri()), *a);
            for b in &Ns::ALL[i + 1..] {
                assert!(a.uri() != b.uri() && a.prefix() != b.prefix(), "{a:?} {b:?}");
            }
        }
        assert_eq!((Ns::of(""), Ns::of("x")), (Ns::None, Ns::Other));
    }
}
