//! Reading WARC archives: [`decode`] turns a file into plain bytes, [`reader`] cuts them into records,
//! [`record`] reads a record's headers, [`http`] the response inside. Damage is an event, never the end.

pub mod decode;
pub mod http;
pub mod reader;
pub mod record;
