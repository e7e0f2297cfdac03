//! Users and groups of an image: whom `user` of a container definition means. Pure.
//!
//! The forms are docker's: `name`, `uid`, `name:group`, `uid:gid` and mixtures. A number need not be in the image's
//! files, a name must.

/// Ids above this are refused, as docker does.
const ID_LIMIT: u32 = i32::MAX as u32;

/// The parsed /etc/passwd and /etc/group of an image. Lines that are malformed are passed over, as the C library does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// Whom a container's first process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, ascending.
    pub groups: Vec<u32>,
    pub home: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownAccount {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
    #[error("uids and gids must be in range 0-2147483647")]
    Range,
}

impl Accounts {
    pub fn parse(passwd: &str, group: &str) -> Self {
        Self {
            users: passwd.lines().filter_map(user).collect(),
            groups: group.lines().filter_map(self::group).collect(),
        }
    }

    /// `None` or an empty text means root.
    pub fn identify(&self, spec: Option<&str>) -> Result<Identity, UnknownAccount> {
        let spec = spec.unwrap_or_default();
        let (user_part, group_part) = match spec.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (spec, None),
        };
        let user_part = if user_part.is_empty() { "0" } else { user_part };
        let known = self.user(user_part);
        let uid = match (known, number(user_part)?) {
            (Some(user), _) => user.uid,
            (None, Some(uid)) => uid,
            (None, None) => return Err(UnknownAccount::User(user_part.to_owned())),
        };
        let home = known.map(|user| user.home.as_str()).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
        // A group that is named replaces the user's own and its supplementary ones.
        if let Some(group) = group_part {
            let gid = self.gid(group)?;
            return Ok(Identity { uid, gid, groups: vec![gid], home });
        }
        let gid = known.map_or(0, |user| user.gid);
        let mut groups = known.map(|user| self.memberships(&user.name)).unwrap_or_default();
        groups.push(gid);
        groups.sort_unstable();
        groups.dedup();
        Ok(Identity { uid, gid, groups, home })
    }

    /// By name first: a name may be all digits.
    fn user(&self, text: &str) -> Option<&User> {
        let by_name = self.users.iter().find(|user| user.name == text);
        by_name.or_else(|| {
            let uid: u32 = text.parse().ok()?;
            self.users.iter().find(|user| user.uid == uid)
        })
    }

    fn gid(&self, text: &str) -> Result<u32, UnknownAccount> {
        if let Some(group) = self.groups.iter().find(|group| group.name == text) {
            return Ok(group.gid);
        }
        number(text)?.ok_or_else(|| UnknownAccount::Group(text.to_owned()))
    }

    fn memberships(&self, user: &str) -> Vec<u32> {
        let mine = self.groups.iter().filter(|group| group.members.iter().any(|member| member == user));
        mine.map(|group| group.gid).collect()
    }
}

/// `None` for what is no number.
fn number(text: &str) -> Result<Option<u32>, UnknownAccount> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id <= ID_LIMIT => Ok(Some(id)),
        _ => Err(UnknownAccount::Range),
    }
}

fn user(line: &str) -> Option<User> {
    let mut fields = line.trim().split(':');
    let name = fields.next()?.to_owned();
    let _password = fields.next()?;
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1).unwrap_or_default().to_owned();
    Some(User { name, uid, gid, home })
}

fn group(line: &str) -> Option<Group> {
    let mut fields = line.trim().split(':');
    let name = fields.next()?.to_owned();
    let _password = fields.next()?;
    let gid = fields.next()?.parse().ok()?;
    let members = fields.next().unwrap_or_default().split(',').filter(|member| !member.is_empty());
    Some(Group { name, gid, members: members.map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\nweb:x:101:102:Web,,,:/srv:/bin/false\nbroken:x\n\
                          1234:x:7:8::/num:\nnohome:x:9:9";
    const GROUP: &str = "root:x:0:\nadm:x:4:web,root\nweb:x:102:\nssl:x:110:web\nbad";

    fn check(spec: &str, expected: Result<(u32, u32, &[u32], &str), &str>) {
        let got = Accounts::parse(PASSWD, GROUP).identify(Some(spec));
        let expected = expected.map(|(uid, gid, groups, home)| Identity {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.to_owned(),
        });
        assert_eq!(got.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{spec:?}");
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        check("", Ok((0, 0, &[0, 4], "/root")));
        check("root", Ok((0, 0, &[0, 4], "/root")));
        check("web", Ok((101, 102, &[4, 102, 110], "/srv")));
        check("101", Ok((101, 102, &[4, 102, 110], "/srv")));
        check("web:adm", Ok((101, 4, &[4], "/srv")));
        check("web:", Ok((101, 102, &[4, 102, 110], "/srv")));
        check(":adm", Ok((0, 4, &[4], "/root")));
        check("5000", Ok((5000, 0, &[0], "/")));
        check("5000:6000", Ok((5000, 6000, &[6000], "/")));
        check("1234", Ok((7, 8, &[8], "/num")));
        check("nohome", Ok((9, 9, &[9], "/")));
        check("nobody", Err("unable to find user nobody: no matching entries in passwd file"));
        check("broken", Err("unable to find user broken: no matching entries in passwd file"));
        check("web:none", Err("unable to find group none: no matching entries in group file"));
        check("4294967296", Err("uids and gids must be in range 0-2147483647"));
        check("0:2147483648", Err("uids and gids must be in range 0-2147483647"));
        check("-1", Err("unable to find user -1: no matching entries in passwd file"));
    }
}
