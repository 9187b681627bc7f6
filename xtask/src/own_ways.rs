//! The source of an adapter that implements the trait itself: every call goes to a shared function until the author
//! changes it.

use crate::catalogue::Place;

/// The code after the descriptor, for an MIS that stores marks there.
pub(crate) fn body(place: Place) -> String {
    let (fields, read, slots, of, shape, write, lessons) = match place {
        Place::FirstLesson => (
            "connection: Connection,\n    timetable: first_lesson::Timetable,",
            "first_lesson::read_register(&self.connection, &self.timetable, date).await",
            "first_lesson::register_slots(&self.connection, &self.timetable, date).await",
            "first_lesson::register_of(&self.connection, &self.timetable, date, read_at, rows).await",
            "first_lesson",
            "first_lesson::write(&self.connection, &DESCRIPTOR, &self.timetable, marks).await",
            "self.timetable.lessons(&self.connection, date).await",
        ),
        Place::Session | Place::None => (
            "connection: Connection,",
            "session::read_register(&self.connection, date).await",
            "Ok(Slot::sessions_of(date).into())",
            "session::register_of(&self.connection, date, read_at, rows).await",
            "session",
            "session::write(&self.connection, &DESCRIPTOR, marks).await",
            "read::lessons(&self.connection, date).await.map(Arc::new)",
        ),
    };
    format!(
        "
register_adapter!(DESCRIPTOR);

/// One school. Shared behaviour is delegated to functions of `mis_wonde::strategies`.
#[derive(Debug)]
struct Adapter {{
    {fields}
}}

#[async_trait]
impl MisAdapter for Adapter {{
    fn descriptor(&self) -> &'static Descriptor {{
        &DESCRIPTOR
    }}

    fn capabilities(&self) -> Capabilities {{
        self.connection.effective(&DESCRIPTOR)
    }}

    async fn code_book(&self) -> Result<Arc<CodeBook>> {{
        read::code_book(&self.connection).await
    }}

    async fn register(&self, date: NaiveDate) -> Result<Register> {{
        {read}
    }}

    fn register_rows(&self, query: RegisterQuery) -> BoxStream<'static, Result<RegisterRow>> {{
        {shape}::register_rows(&self.connection, query)
    }}

    async fn register_slots(&self, date: NaiveDate) -> Result<Vec<Slot>> {{
        {slots}
    }}

    async fn register_of(
        &self,
        date: NaiveDate,
        read_at: DateTime<Utc>,
        rows: Vec<RegisterRow>,
    ) -> Result<Register> {{
        {of}
    }}

    fn people(&self, query: PeopleQuery) -> BoxStream<'static, Result<Person>> {{
        people::people(&self.connection, &DESCRIPTOR, query)
    }}

    fn groups(&self) -> BoxStream<'static, Result<Group>> {{
        people::groups(&self.connection, &DESCRIPTOR)
    }}

    fn deletions(&self, since: Option<DateTime<Utc>>) -> BoxStream<'static, Result<Deletion>> {{
        people::deletions(&self.connection, &DESCRIPTOR, since)
    }}

    async fn people_count(&self, kind: PersonKind) -> Result<Option<u64>> {{
        people::people_count(&self.connection, &DESCRIPTOR, kind).await
    }}

    async fn lessons(&self, date: NaiveDate) -> Result<Arc<Vec<Lesson>>> {{
        {lessons}
    }}

    async fn write(&self, marks: &[Mark]) -> Result<Vec<MarkResult>> {{
        {write}
    }}

    async fn outcome(&self, receipt: &Receipt) -> Result<WritebackOutcome> {{
        read::outcome(&self.connection, &DESCRIPTOR, receipt).await
    }}
}}
"
    )
}

/// The imports of such an adapter.
pub(crate) fn uses(place: Place, abilities: bool) -> String {
    let strategies = match place {
        Place::FirstLesson => "first_lesson, people, read",
        Place::Session | Place::None => "people, read, session",
    };
    let ability = if abilities { "Ability, " } else { "" };
    format!(
        "use std::sync::Arc;

use mis_wonde::{{
    {ability}Capabilities, CodeBook, Connection, Deletion, Descriptor, Group, Lesson, Mark, MarkResult,
    MisAdapter, PeopleQuery, Person, PersonKind, Receipt, Register, RegisterQuery, RegisterRow,
    Result, Slot, WritebackOutcome, async_trait,
    chrono::{{DateTime, NaiveDate, Utc}},
    futures::stream::BoxStream,
    register_adapter,
    strategies::{{self, {strategies}}},
}};
"
    )
}

/// The code that creates such an adapter for one school.
pub(crate) fn connect(place: Place) -> &'static str {
    match place {
        Place::FirstLesson => {
            "Box::pin(async move {
        let adapter: Arc<dyn MisAdapter> = Arc::new(Adapter {
            connection: strategies::connection(&DESCRIPTOR, &context)?,
            timetable: first_lesson::Timetable::default(),
        });
        Ok(adapter)
    })"
        }
        Place::Session | Place::None => {
            "Box::pin(async move {
        let adapter: Arc<dyn MisAdapter> = Arc::new(Adapter {
            connection: strategies::connection(&DESCRIPTOR, &context)?,
        });
        Ok(adapter)
    })"
        }
    }
}
