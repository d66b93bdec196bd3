//! What each format is made of: words that mutations put in.

/// Words of a format.
pub type Words = &'static [&'static [u8]];

#[rustfmt::skip]
pub const EXIF: Words = &[
    b"Exif\0\0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0",
    b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0", b"\x12\x01\x04\0", b"\xff\xff\xff\xff", b"tiff:Orientation=\"6\"",
];

#[rustfmt::skip]
pub const PICKLE: Words = &[
    b"\x80\x02", b"\x80\x04\x95", b".", b"(", b")", b"]", b"}", b"t", b"\x85", b"\x86", b"\x87", b"u", b"s",
    b"a", b"e", b"d", b"l", b"q\x01", b"h\x01", b"h\0", b"r\0\0\0\0", b"j\xff\xff\xff\xff", b"\x94", b"R",
    b"b", b"\x81", b"\x92", b"o", b"Q", b"N", b"0", b"1", b"2", b"22222222", b"\x88", b"K\x02", b"M\xff\xff",
    b"J\xff\xff\xff\xff", b"J\xff\xff\xff\x7f", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x8a\x09\0\0\0\0\0\0\0\0\x01", b"\x8b\xff\xff\xff\xff", b"I99999999999\n", b"Va\\u0041\n", b"S'a'\n",
    b"F1e999\n", b"\x93", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch._utils\n_rebuild_tensor_v3\n", b"ctorch\nDoubleStorage\n", b"ccollections\nOrderedDict\n",
    b"ctorch\nSize\n", b"X\x05\0\0\0model", b"X\x0a\0\0\0state_dict", b"cos\nsystem\n", b"\x8f", b"\x90",
    b"\x91", b"\x96\xff\xff\xff\xff\0\0\0\0", b"K\0K\0\x86", b"K\x80K\x80\x86",
];

#[rustfmt::skip]
pub const HEADER: Words = &[
    b"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", b"\"F16\"", b"\"BF16\"",
    b"\"F8_E4M3\"", b"\"F4\"", b"\"I64\"", b"\"BOOL\"", b"\"C64\"", b"\"__metadata__\":{}", b"[]", b"[0]",
    b"[0,0]", b"18446744073709551615", b",", b"{", b"}", b"[[[[",
];

#[rustfmt::skip]
pub const TABLE: Words = &[
    b"PAR1", b"PARE", b"\x15\x00", b"\x15\x02", b"\x19\x1c", b"\x18\x05label", b"\x15\xff\xff\xff\xff\x0f",
    b"\x16\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x19\xfc\xff\xff\xff\x7f", b"\x00\x00\x00\x00", b"image",
    b"bytes", b"path",
];

#[rustfmt::skip]
pub const ZIP: Words = &[
    b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08", b"../", b"/",
    b"\\", b"\xff\xff\xff\xff", b"\0\0", b"\x01\0", b"\x08\0", b"\x09\0", b"\x0c\0", b"data.pkl", b"set/cat/",
];

#[rustfmt::skip]
pub const TOML: Words = &[
    b"[", b"]", b"[[", b"\"\"\"", b"'''", b" = ", b"\n", b"\n[split]\n", b"{ }", b"true", b"1979-05-27",
    b"inf", b"nan", b"0x", b".", b"id = \"a\"\n", b"\\u0000", b"../../", b"[source.folder]\npath = \"/\"\n",
];

#[rustfmt::skip]
pub const LINES: Words = &[
    b"\n", b"\r\n", b",", b"\"", b"\"\"", b"../../", b"/", b" ", b"\t", b"\xef\xbb\xbf", b"\xff", b"\0",
    b"label", b"nan",
];

#[rustfmt::skip]
pub const JPEG: Words = &[
    b"\xff\xd8", b"\xff\xd9", b"\xff\xc0\0\x11\x08", b"\xff\xc2", b"\xff\xc4", b"\xff\xda", b"\xff\xdb",
    b"\xff\xdd\0\x04\0\x01", b"\xff\xd0", b"\xff\xee\0\x0eAdobe", b"\x11\0", b"\x22\0", b"\x14\0",
    b"\xff\xff", b"\xff\0",
];

#[rustfmt::skip]
pub const PNG: Words = &[
    b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"zTXt",
    b"iTXt", b"\0\0\0\0", b"\x7f\xff\xff\xff",
];

#[rustfmt::skip]
pub const WEBP: Words = &[
    b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"XMP ", b"ICCP",
    b"\x9d\x01\x2a", b"\x2f",
];

#[rustfmt::skip]
pub const TIFF: Words = &[
    b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\x00\x01\x03\0", b"\x01\x01\x04\0", b"\x02\x01\x03\0",
    b"\x03\x01\x03\0", b"\x11\x01\x04\0", b"\x15\x01\x03\0", b"\x16\x01\x04\0", b"\x17\x01\x04\0",
    b"\x1c\x01\x03\0", b"\x42\x01\x04\0", b"\x43\x01\x04\0", b"\x44\x01\x04\0", b"\x52\x01\x03\0",
    b"\x53\x01\x03\0", b"\x3d\x01\x03\0", b"\x01\0\0\0\x01\0\0\0", b"\x01\0\0\0\x05\0\0\0",
    b"\x01\0\0\0\x07\0\0\0", b"\x01\0\0\0\x08\0\0\0",
];

#[rustfmt::skip]
pub const GIF: Words = &[
    b"GIF87a", b"GIF89a", b",", b"!\xf9\x04", b"!\xff\x0bNETSCAPE2.0", b"!\xfe", b";", b"\0\0\0\0",
    b"\xff\xff\xff\xff", b"\x08\xff", b"\x0c",
];

#[rustfmt::skip]
pub const BMP: Words = &[
    b"BM", b"\x28\0\0\0", b"\x7c\0\0\0", b"\x01\0\x01\0", b"\x01\0\x20\0", b"\x01\0\0\0", b"\x02\0\0\0",
    b"\x03\0\0\0", b"\xff\xff\xff\xff",
];

#[rustfmt::skip]
pub const INDEX: Words = &[
    b"\"weight_map\"", b"../", b"/etc/hostname", b"\"a\"", b"{", b"}", b"[", b":", b",", b"\\u0000",
    b"index.json",
];

#[rustfmt::skip]
pub const TAR: Words = &[
    b"ustar\x0000", b"ustar  \0", b"../", b"/tmp/x", b"L", b"x", b"1", b"2", b"3", b"5", b"S", b"77777777777",
    b"\x80\0\0\0\0\0\0\0\x7f\xff\xff\xff", b"\x1f\x8b",
];

#[rustfmt::skip]
pub const LISTING: Words = &[
    b"{", b"}", b"[", b"]", b"null", b"\"sha\":", b"\"rfilename\":", b"../../x", b"/etc/x", b"\\u0000",
    b"model.safetensors",
];

#[rustfmt::skip]
pub const MERGES: Words = &[
    b" ", b"\n", b"</w>", b"a b\n", b"\xc4\xa0", b"\xff", b"\0",
];

#[rustfmt::skip]
pub const KINDS: Words = &[
    b"\t", b"\n", b",", b"0", b"1", b"2", b"animal",
];
