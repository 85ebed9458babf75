//! The pages of a bbolt file. Every read is checked against the end of the page, so a damaged page is detected.

/// A page begins with its ID (8 bytes), its type (2), the number of its elements (2), and the number of its overflow
/// pages (4).
pub const PAGE_HEADER_SIZE: usize = 16;

/// The size of a meta page without its header.
pub const META_SIZE: usize = 64;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const BUCKET: u32 = 0x01;
const ELEMENT_SIZE: usize = 16;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// A meta page: it locates the root of the tree.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// The size of each page.
    pub page_size: u64,
    /// The ID of the root page.
    pub root: u64,
    /// The ID of the transaction that wrote the page.
    pub transaction: u64,
}

/// A page of a tree.
pub struct Page {
    bytes: Vec<u8>,
    leaf: bool,
    count: usize,
}

/// The result of a search for a key.
pub enum Lookup<'a> {
    /// The search continues on this page.
    Child(u64),
    /// The value of the key.
    Value(ValueKind, &'a [u8]),
    /// There is no such key.
    Missing,
}

/// What a page of a tree has.
pub enum PageContents<'a> {
    /// The elements of a leaf.
    Elements(Vec<Element<'a>>),
    /// The IDs of the children of a branch.
    Children(Vec<u64>),
}

/// An element of a leaf.
pub struct Element<'a> {
    pub kind: ValueKind,
    key: &'a [u8],
    pub value: &'a [u8],
}

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    Bucket,
    Value,
}

impl Meta {
    /// Parses a meta page, if it is valid: magic number (4 bytes), version (4), page size (4), flags (4), root (8) and
    /// counter (8) of the root bucket, free list (8), end (8), transaction (8) and checksum (8).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let page_size = u64::from(u32_at(bytes, 8)?);
        let valid = u32_at(bytes, 0)? == MAGIC
            && u32_at(bytes, 4)? == VERSION
            && u64_at(bytes, 56)? == fnv_1a(bytes.get(..56)?)
            && page_size >= (PAGE_HEADER_SIZE + META_SIZE) as u64;
        valid.then_some(Self { page_size, root: u64_at(bytes, 16)?, transaction: u64_at(bytes, 48)? })
    }
}

impl Page {
    /// The number of pages including overflow pages, if the header has this ID.
    pub fn pages(header: &[u8], id: u64) -> Option<u64> {
        if u64_at(header, 0)? == id { Some(u64::from(u32_at(header, 12)?) + 1) } else { None }
    }

    pub fn parse(bytes: Vec<u8>) -> Option<Self> {
        let leaf = match u16_at(&bytes, 8)? {
            BRANCH => false,
            LEAF => true,
            _ => return None,
        };
        let count = usize::from(u16_at(&bytes, 10)?);
        Some(Self { bytes, leaf, count })
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Searches a key; `None` if the page is damaged.
    pub fn search(&self, key: &[u8]) -> Option<Lookup<'_>> {
        if self.leaf { self.search_leaf(key) } else { self.search_branch(key) }
    }

    /// The elements of a leaf, with their keys, or the children of a branch; `None` if the page is damaged.
    pub fn contents(&self) -> Option<PageContents<'_>> {
        if self.leaf {
            self.elements().map(|start| self.leaf_element(start)).collect::<Option<_>>().map(PageContents::Elements)
        } else {
            self.elements()
                .map(|start| u64_at(&self.bytes, start + 8))
                .collect::<Option<_>>()
                .map(PageContents::Children)
        }
    }

    /// An element of a leaf: flags, offset of the key from the element, length of the key, length of the value after it.
    fn leaf_element(&self, start: usize) -> Option<Element<'_>> {
        let [flags, offset, key_size, value_size] = [0, 4, 8, 12].map(|at| u32_at(&self.bytes, start + at));
        let key_start = start.checked_add(offset? as usize)?;
        let (key, rest) = self.bytes.get(key_start..)?.split_at_checked(key_size? as usize)?;
        let kind = if flags? & BUCKET == 0 { ValueKind::Value } else { ValueKind::Bucket };
        Some(Element { kind, key, value: rest.get(..value_size? as usize)? })
    }

    fn search_leaf(&self, key: &[u8]) -> Option<Lookup<'_>> {
        for start in self.elements() {
            let element = self.leaf_element(start)?;
            if element.key == key {
                return Some(Lookup::Value(element.kind, element.value));
            }
        }
        Some(Lookup::Missing)
    }

    /// An element of a branch: offset of the child's first key from the element, length of that key, ID of the child's
    /// page. The search continues in the last child that does not begin after the key (`cursor.go:searchPage`).
    fn search_branch(&self, key: &[u8]) -> Option<Lookup<'_>> {
        let mut child = None;
        for start in self.elements() {
            let [offset, key_size] = [0, 4].map(|at| u32_at(&self.bytes, start + at));
            let key_start = start.checked_add(offset? as usize)?;
            let first_key = self.bytes.get(key_start..)?.get(..key_size? as usize)?;
            if child.is_none() || first_key <= key {
                child = Some(u64_at(&self.bytes, start + 8)?);
            }
        }
        child.map(Lookup::Child)
    }

    fn elements(&self) -> impl Iterator<Item = usize> {
        (0..self.count).map(|element| PAGE_HEADER_SIZE + element * ELEMENT_SIZE)
    }
}

/// The hash FNV-1a, 64 bits.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn u16_at(bytes: &[u8], start: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(start..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], start: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(start..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], start: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(start..)?.first_chunk()?))
}
