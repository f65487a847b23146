//! Where motion counts: everywhere, within a rectangle, or in the marked cells of a grid.

use super::grid::{CELLS, COLUMNS, ROWS};
use serde_json::Value;

/// Most rows and columns of a grid that is set.
const MOST: usize = 64;

/// The cells that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    cells: Vec<bool>,
    count: usize,
}

impl Default for Region {
    fn default() -> Self {
        Self { cells: vec![true; CELLS], count: CELLS }
    }
}

impl Region {
    /// What a setting's value means: `null` or `[]` everywhere; `{"x", "y", "width", "height"}` in
    /// hundredths of the picture, from its top left corner; or `["0110", …]`, rows of a grid of any
    /// size up to 64x64 that lies over the picture, 1 where motion counts.
    ///
    /// # Errors
    /// What it must be.
    pub fn of(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self::default()),
            Value::Array(rows) if rows.is_empty() => Ok(Self::default()),
            Value::Array(rows) => Self::of_rows(rows),
            Value::Object(sides) => Self::of_rectangle(sides),
            _ => Err("Value must be [], a rectangle {x, y, width, height} in percent, or rows \
                      such as [\"0110\", \"1111\"]"
                .to_owned()),
        }
    }

    fn of_rectangle(sides: &serde_json::Map<String, Value>) -> Result<Self, String> {
        let side = |name: &str| {
            let number = sides.get(name).and_then(Value::as_f64);
            number
                .filter(|n| (0.0..=100.0).contains(n))
                .ok_or_else(|| format!("{name} must be a number between 0 and 100"))
        };
        if let Some(other) =
            sides.keys().find(|k| !["x", "y", "width", "height"].contains(&k.as_str()))
        {
            return Err(format!("a rectangle has x, y, width and height, and no {other:?}"));
        }
        let (x, y, width, height) = (side("x")?, side("y")?, side("width")?, side("height")?);
        if x + width > 100.000_001 || y + height > 100.000_001 {
            return Err("the rectangle ends outside of the picture".to_owned());
        }
        // By the middle of a cell.
        let within = |cell: usize, cells: usize, from: f64, span: f64| {
            let middle = (cell as f64 + 0.5) * 100.0 / cells as f64;
            (from..=from + span).contains(&middle)
        };
        Self::of_cells(|column, row| {
            within(column, COLUMNS, x, width) && within(row, ROWS, y, height)
        })
    }

    fn of_rows(rows: &[Value]) -> Result<Self, String> {
        let wrong = || {
            format!("rows must be 1 to {MOST} texts of the same length, 1 to {MOST}, of 0 and 1")
        };
        let rows: Vec<&[u8]> = rows
            .iter()
            .map(|row| row.as_str().map(str::as_bytes))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        let columns = rows.first().map_or(0, |row| row.len());
        let same = rows.iter().all(|row| row.len() == columns);
        let plain = rows.iter().all(|row| row.iter().all(|b| matches!(b, b'0' | b'1')));
        if !same || !plain || !(1..=MOST).contains(&columns) || rows.len() > MOST {
            return Err(wrong());
        }
        Self::of_cells(|column, row| {
            rows[row * rows.len() / ROWS][column * columns / COLUMNS] == b'1'
        })
    }

    fn of_cells(counts: impl Fn(usize, usize) -> bool) -> Result<Self, String> {
        let cells: Vec<bool> = (0..CELLS).map(|i| counts(i % COLUMNS, i / COLUMNS)).collect();
        let count = cells.iter().filter(|counts| **counts).count();
        if count == 0 {
            return Err("the region is empty: motion would count nowhere".to_owned());
        }
        Ok(Self { cells, count })
    }

    /// Whether a cell counts.
    pub fn has(&self, cell: usize) -> bool {
        self.cells.get(cell).copied().unwrap_or(false)
    }

    /// How many do; never 0.
    pub const fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rectangles_and_grids_mark_their_cells() {
        assert_eq!(Region::of(&json!(null)).unwrap().count(), CELLS);
        assert_eq!(Region::of(&json!([])).unwrap(), Region::default());
        let half = Region::of(&json!({ "x": 50, "y": 0, "width": 50, "height": 100 })).unwrap();
        assert_eq!(half.count(), CELLS / 2);
        assert!(half.has(COLUMNS - 1) && !half.has(0) && !half.has(CELLS));
        assert_eq!(Region::of(&json!(["01"])).unwrap(), half);
        let corner = Region::of(&json!(["1000", "0000"])).unwrap();
        assert!(corner.has(0) && corner.count() == CELLS / 8);
    }

    #[test]
    fn others_are_refused_and_say_why() {
        for (value, word) in [
            (json!(5), "Value must be"),
            (json!({ "x": 0, "y": 0, "width": 101, "height": 1 }), "width must"),
            (json!({ "x": 60, "y": 0, "width": 50, "height": 10 }), "outside"),
            (json!({ "x": 0, "y": 0, "width": 50, "height": 10, "z": 1 }), "\"z\""),
            (json!({ "x": 0, "y": 0, "width": 0, "height": 0 }), "empty"),
            (json!(["01", "0"]), "same length"),
            (json!(["0x"]), "0 and 1"),
            (json!(["00"]), "empty"),
            (json!([1]), "texts"),
            (json!(vec!["1"; 65]), "64"),
        ] {
            let why = Region::of(&value).unwrap_err();
            assert!(why.contains(word), "{value}: {why}");
        }
    }
}
