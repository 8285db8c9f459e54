//! Where a tile or a bundle of entries is served (C2SP tlog-tiles).

/// Which tile, as its path says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TilePath {
    /// The level of hashes; `None` for entries.
    pub level: Option<u8>,
    /// Its place in its level, from the left, from 0.
    pub index: u64,
    /// Hashes or entries in it, 1 to 256.
    pub width: u16,
}

/// `tile/LEVEL/INDEX`, with `.p/WIDTH` behind it if the tile is not full; `level` is a number or `entries`.
pub fn tile_path(level: &str, index: u64, width: u16) -> String {
    let mut groups = vec![format!("{:03}", index % 1_000)];
    let mut left = index / 1_000;
    while left > 0 {
        groups.push(format!("x{:03}", left % 1_000));
        left /= 1_000;
    }
    groups.reverse();
    let partial = if width < 256 { format!(".p/{width}") } else { String::new() };
    format!("tile/{level}/{}{partial}", groups.join("/"))
}

impl TilePath {
    /// Reads what follows `tile/`. There is one way to write each, and no other is read.
    pub fn parse(path: &str) -> Option<Self> {
        let (level, rest) = path.split_once('/')?;
        let level = match level {
            "entries" => None,
            number => Some(number.parse::<u8>().ok().filter(|level| *level < 64)?),
        };
        let (groups, width) = match rest.split_once(".p/") {
            Some((groups, width)) => (groups, width.parse::<u16>().ok().filter(|width| (1..256).contains(width))?),
            None => (rest, 256),
        };
        let mut index = 0_u64;
        for group in groups.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            index = index.checked_mul(1_000)?.checked_add(digits.parse::<u16>().ok().filter(|n| *n < 1_000)?.into())?;
        }
        let written = level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
        (tile_path(&written, index, width).strip_prefix("tile/") == Some(path)).then_some(Self { level, index, width })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_it_is_written() {
        assert_eq!(tile_path("0", 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile_path("entries", 7, 12), "tile/entries/007.p/12");
        for (level, text) in [(Some(0), "0"), (Some(63), "63"), (None, "entries")] {
            for index in [0, 999, 1_000, 1_234_067, 999_999_999_999] {
                for width in [1, 255, 256] {
                    let path = tile_path(text, index, width);
                    let read = TilePath::parse(path.strip_prefix("tile/").unwrap());
                    assert_eq!(read, Some(TilePath { level, index, width }), "{path}");
                }
            }
        }
    }

    #[test]
    fn another_way_to_write_it_is_not_read() {
        for path in [
            "00/000",
            "0/0",
            "0/00",
            "0/x000/001",
            "0/1000",
            "0/001.p/0",
            "0/001.p/256",
            "0/001.p/012",
            "64/000",
            "-1/000",
            "0/+01",
            "0/",
            "0",
            "entries/../000",
            "0/x001",
            "0/001/002",
            "0/001.p/1/",
            "",
        ] {
            assert_eq!(TilePath::parse(path), None, "{path}");
        }
    }
}
